//! A long list of docker commands with flags, as an operator types them, one after the other against
//! one cluster: exit codes, words that must be there, and beside a real engine's recording, where there
//! is one, the same headings and the same messages.

use std::path::PathBuf;

use serde_json::Value;

use crate::docker_cli::{Docker, Done};

/// A command, the code it ends with, and words that its output has.
type Line = (&'static str, i32, &'static str);

/// Nodes, join tokens, settings.
const CLUSTER: &[Line] = &[
    ("node ls", 0, "m1"),
    ("node ls -q", 0, ""),
    ("node ls --filter role=manager --filter name=m", 0, "Leader"),
    ("node ls --filter membership=accepted --format json", 0, "\"Hostname\":\"m1\""),
    ("node ls --format {{.Hostname}}:{{.EngineVersion}}", 0, "m1:20.10.24"),
    ("node inspect self", 0, "\"Role\": \"manager\""),
    ("node inspect --pretty self", 0, "Hostname:"),
    ("node inspect m1 w1 --format {{.Spec.Role}}", 0, "worker"),
    ("node inspect nosuch", 1, "nosuch"),
    ("node update --label-add zone=a --label-add disk=ssd w1", 0, "w1"),
    ("node ls --filter node.label=zone=a -q", 0, ""),
    ("node update --label-rm disk w1", 0, "w1"),
    ("node update --label-add a=b nosuch", 1, "nosuch not found"),
    ("node update --availability pause w2", 0, "w2"),
    ("node update --availability active w2", 0, "w2"),
    ("node ps self", 0, ""),
    ("node promote m1", 0, "is already a manager"),
    ("node demote w1", 0, "is already a worker"),
    ("node demote m1", 1, "attempting to demote the last manager"),
    ("node rm m1", 1, "is a cluster manager"),
    ("node rm --force m1", 1, "is a cluster manager"),
    ("node rm w2", 1, "is not down and can't be removed"),
    ("swarm join-token worker", 0, "docker swarm join --token"),
    ("swarm join-token -q manager", 0, "SWMTKN-1-"),
    ("swarm join-token --rotate worker", 0, "Successfully rotated worker join token."),
    (
        "swarm update --task-history-limit 3 --dispatcher-heartbeat 6s --cert-expiry 1440h",
        0,
        "Swarm updated.",
    ),
    ("swarm unlock-key", 1, "no unlock key is set"),
    ("swarm ca", 0, "BEGIN CERTIFICATE"),
    (
        "info --format {{.Swarm.LocalNodeState}}/{{.Swarm.Nodes}}/{{.Swarm.Managers}}",
        0,
        "active/3/1",
    ),
];

/// Secrets, configs, networks.
const PARTS: &[Line] = &[
    ("secret create -l env=test db_pw file.txt", 0, ""),
    ("secret create db_pw file.txt", 1, "secret db_pw already exists"),
    ("secret create --template-driver golang tsec file.txt", 0, ""),
    ("secret create bad/name file.txt", 1, "invalid name"),
    ("secret ls", 0, "db_pw"),
    ("secret ls -q", 0, ""),
    ("secret ls --filter label=env=test --filter name=db --format {{.Name}}", 0, "db_pw"),
    ("secret inspect db_pw", 0, "\"env\": \"test\""),
    ("secret inspect --pretty db_pw", 0, "Name:"),
    ("secret inspect nosuch", 1, "nosuch"),
    ("secret rm nosuch", 1, "nosuch"),
    ("secret rm tsec", 0, "tsec"),
    ("config create -l env=test app_conf file.txt", 0, ""),
    ("config create --template-driver golang tconf file.txt", 0, ""),
    ("config create app_conf file.txt", 1, "config app_conf already exists"),
    ("config ls", 0, "app_conf"),
    ("config ls --filter name=app -q", 0, ""),
    ("config inspect app_conf", 0, "\"Data\""),
    ("config inspect --pretty app_conf", 0, "some text"),
    ("config inspect nosuch", 1, "nosuch"),
    ("config rm tconf", 0, "tconf"),
    ("config rm nosuch", 1, "nosuch"),
    (
        "network create -d overlay --attachable --subnet 10.99.0.0/24 --opt encrypted=false --label env=test back",
        0,
        "",
    ),
    ("network create -d overlay front", 0, ""),
    ("network create -d overlay front", 1, "already exists"),
    ("network create -d overlay --internal --opt com.docker.network.driver.mtu=1400 tmpnet", 0, ""),
    ("network ls --filter driver=overlay --filter scope=swarm", 0, "ingress"),
    ("network ls -q --no-trunc", 0, ""),
    ("network inspect back", 0, "\"Subnet\": \"10.99.0.0/24\""),
    ("network inspect -v back", 0, "\"Scope\": \"swarm\""),
    ("network inspect ingress --format {{.Ingress}}", 0, "true"),
    ("network inspect nosuch", 1, "nosuch"),
    ("network rm nosuch", 1, "nosuch"),
    ("network rm tmpnet", 0, "tmpnet"),
];

/// Services.
const SERVICES: &[Line] = &[
    ("service create --name plain --replicas 2 --update-monitor 50ms demo/web:1", 0, "converged"),
    ("service create -q --name tt -t --update-monitor 50ms demo/web:1", 0, ""),
    (
        "service create -d --name web --hostname {{.Node.Hostname}}-{{.Task.Slot}} --replicas 2 --replicas-max-per-node 5 \
         --publish published=8080,target=80 --publish mode=host,published=8082,target=82,protocol=udp --network name=front,alias=w \
         --secret source=db_pw,target=pw,mode=0400 --config source=app_conf,target=/etc/app.conf \
         --mount type=volume,source=data,target=/data --mount type=tmpfs,target=/scratch,tmpfs-size=1m \
         --env A=1 --env-file env.txt --label tier=front --container-label c=d --constraint node.platform.os==linux \
         --placement-pref spread=node.labels.zone --limit-cpu .5 --limit-memory 64m --reserve-cpu .1 --reserve-memory 32m \
         --restart-condition on-failure --restart-delay 1s --restart-max-attempts 3 --restart-window 10s \
         --update-parallelism 1 --update-delay 1s --update-order start-first --update-failure-action rollback --update-monitor 50ms \
         --update-max-failure-ratio .2 --rollback-parallelism 2 --rollback-monitor 50ms --health-cmd true --health-interval 5s \
         --stop-grace-period 3s --stop-signal SIGINT --user 1:2 --workdir /srv --dns 10.0.0.1 --host db:10.0.0.2 --init \
         --cap-add NET_ADMIN --ulimit nofile=10:20 --sysctl net.core.somaxconn=99 --log-driver json-file --log-opt max-size=1m \
         --endpoint-mode vip --read-only demo/web:1 serve --flag",
        0,
        "",
    ),
    ("service create -d --name bad --constraint bogus demo/web:1", 1, "constraint"),
    ("service create -d --name bad --network nosuchnet demo/web:1", 1, "nosuchnet not found"),
    ("service create -d --name bad --secret nosuch demo/web:1", 1, "secret not found: nosuch"),
    ("service create -d --name bad --config nosuch demo/web:1", 1, "config not found: nosuch"),
    ("service create -d --name bad! demo/web:1", 1, "name must be valid as a DNS name component"),
    (
        "service create -d --name dup --publish 8080:80 demo/web:1",
        1,
        "port '8080' is already in use",
    ),
    ("service create -d --name plain demo/web:1", 1, "name conflicts with an existing object"),
    ("service ls", 0, "plain"),
    ("service ls -q", 0, ""),
    ("service ls --filter name=web --filter label=tier=front --filter mode=replicated", 0, "web"),
    ("service ls --format {{.Name}}={{.Ports}}", 0, "web=*:8080->80/tcp"),
    ("service ps plain", 0, "plain.1"),
    ("service ps --filter desired-state=running --filter node=m1 plain", 0, ""),
    ("service ps --no-trunc -q plain", 0, ""),
    ("service ps nosuch", 1, "no such service: nosuch"),
    ("service inspect web", 0, "\"MaxReplicas\": 5"),
    ("service inspect --pretty web", 0, "Update order:      start-first"),
    ("service inspect nosuch", 1, "no such service: nosuch"),
    ("inspect --type service plain --format {{.Spec.Name}}", 0, "plain"),
    ("service scale plain=3", 0, "plain scaled to 3"),
    ("service scale -d plain=1 web=1", 0, "plain scaled to 1"),
    ("service scale nosuch=1", 1, "nosuch"),
    ("service scale plain=many", 1, "invalid replicas value"),
    ("service update --image demo/web:2 plain", 0, "plain"),
    (
        "service update -d --env-add A=9 --env-rm B --label-add x=1 --label-rm tier --container-label-add d=2 web",
        0,
        "web",
    ),
    (
        "service update -d --publish-rm 82/udp --publish-add published=9090,target=90 --network-rm front --network-add back \
         --secret-rm db_pw --config-rm app_conf --mount-rm /scratch --mount-add type=tmpfs,target=/t --host-rm db:10.0.0.2 \
         --dns-rm 10.0.0.1 --constraint-rm node.platform.os==linux --placement-pref-rm spread=node.labels.zone --cap-drop ALL \
         --ulimit-rm nofile --sysctl-rm net.core.somaxconn --group-add adm --limit-memory 128m --args other web",
        0,
        "web",
    ),
    ("service update --force plain", 0, "plain"),
    ("service update plain", 0, "converged"),
    ("service update --image demo/web:1 nosuch", 1, "nosuch"),
    ("service rollback plain", 0, "converged"),
    ("service update -d --rollback plain", 0, "plain"),
    ("service create -d --name fresh demo/web:1", 0, ""),
    ("service update -d --rollback fresh", 1, "does not have a previous spec"),
    ("service rollback nosuch", 1, "nosuch"),
    ("service create --name glob --mode global --update-monitor 50ms demo/web:1", 0, "converged"),
    ("service scale glob=2", 1, "scale can only be used with replicated"),
    (
        "service create --name job --mode replicated-job --replicas 3 --max-concurrent 2 demo/web:1",
        0,
        "",
    ),
    ("service create --name gjob --mode global-job demo/web:1", 0, ""),
    ("service ls --filter mode=replicated-job", 0, "job"),
    ("service inspect --pretty job", 0, "Name:\t\tjob"),
    ("service ps job", 0, "Complete"),
    ("service scale -d job=4", 0, "job scaled to 4"),
    ("service update --force gjob", 0, ""),
    ("service logs plain", 0, ""),
    ("service logs --tail 3 --timestamps --no-trunc --details plain", 0, ""),
    ("service logs --since 5s --no-task-ids --no-resolve plain", 0, ""),
    ("service logs nosuch", 1, "no such task or service: nosuch"),
    ("secret rm db_pw", 0, "db_pw"),
    ("network rm back", 1, "is in use"),
    ("service rm tt fresh", 0, "fresh"),
    ("service rm nosuch plain", 1, "nosuch"),
    ("service rm web glob job gjob", 0, "gjob"),
    ("events --since 1 --until 1s --filter scope=swarm", 0, "service create"),
    ("events --since 1 --until 1s --filter type=node --format {{.Type}}/{{.Action}}", 0, "node/"),
];

/// Stacks.
const STACKS: &[Line] = &[
    ("stack config -c stack.yml", 0, "image: demo/web:1"),
    ("stack deploy -c stack.yml --detach=true demo", 0, "Creating service demo_web"),
    ("stack deploy -c stack.yml --detach=false demo", 0, "Updating service demo_web"),
    ("stack ls", 0, "demo"),
    ("stack ls --format {{.Name}}={{.Services}}", 0, "demo=2"),
    ("stack services demo", 0, "demo_web"),
    ("stack services --filter name=demo_web demo -q", 0, ""),
    ("stack ps demo", 0, "demo_web.1"),
    ("stack ps -q --filter desired-state=running demo", 0, ""),
    (
        "stack deploy -c small.yml -d --prune --resolve-image never demo",
        0,
        "Removing service demo_db",
    ),
    (
        "stack deploy -c small.yml -d --resolve-image changed --with-registry-auth demo",
        0,
        "Updating",
    ),
    ("stack deploy -c badnet.yml -d bad", 1, "could not be found"),
    ("stack deploy -c badsec.yml -d bad", 1, "secret not found: nosec"),
    ("stack deploy -c broken.yml -d bad", 1, "Additional property"),
    ("stack services nosuch", 0, "Nothing found in stack: nosuch"),
    ("stack ps nosuch", 1, "nothing found in stack: nosuch"),
    ("stack rm --detach=false demo", 0, "Removing service demo_web"),
    ("stack rm nosuch", 0, "Nothing found in stack: nosuch"),
];

/// Recorded in another state: managers locked, a network that was not there.
const ELSEWHERE: &[&str] = &["swarm unlock-key", "network create -d overlay front"];

const FILES: &[(&str, &str)] = &[
    ("file.txt", "some text\n"),
    ("env.txt", "B=2\n"),
    (
        "stack.yml",
        "services:\n  web: {image: 'demo/web:1', networks: [back], deploy: {update_config: {monitor: 50ms}}}\n  db: {image: 'demo/web:1', networks: [back], deploy: {update_config: {monitor: 50ms}}}\nnetworks: {back: {}}\n",
    ),
    ("small.yml", "services:\n  web: {image: 'demo/web:2'}\n"),
    (
        "badnet.yml",
        "services:\n  a: {image: x, networks: [n]}\nnetworks: {n: {external: true, name: nonet}}\n",
    ),
    (
        "badsec.yml",
        "services:\n  a: {image: x, secrets: [s]}\nsecrets: {s: {external: true, name: nosec}}\n",
    ),
    ("broken.yml", "services:\n  a: {image: x, bogus: 1}\n"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_more_than_a_hundred_docker_commands_does_what_it_should() {
    let Some(docker) = Docker::start(2).await else { return };
    if docker.is_old() {
        return;
    }
    for (name, text) in FILES {
        docker.write(name, text);
    }
    let recorded = recorded();
    let (mut run, mut compared, mut wrong) = (0, 0, Vec::new());
    for (line, code, words) in [CLUSTER, PARTS, SERVICES, STACKS].into_iter().flatten() {
        let done = docker.run(line).await;
        run += 1;
        if done.code != *code {
            wrong.push(format!(
                "docker {line}: {} instead of {code}\n{}{}",
                done.code, done.out, done.err
            ));
            continue;
        }
        if !format!("{}{}", done.out, done.err).contains(words) {
            wrong.push(format!("docker {line}: no {words:?}\n{}{}", done.out, done.err));
        }
        // The same command was recorded in several states: one of them is like ours.
        let same = recorded.iter().filter(|r| r.line == *line && !ELSEWHERE.contains(line));
        let found: Vec<Option<String>> = same.map(|theirs| differs(line, theirs, &done)).collect();
        compared += usize::from(!found.is_empty());
        if found.iter().all(Option::is_some) {
            wrong.extend(found.into_iter().flatten().next());
        }
    }
    assert!(wrong.is_empty(), "{} of {run}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(run > 100, "{run} commands, {compared} of them beside a recording");
    println!("{run} commands, {compared} of them beside a recording");
}

/// What a real engine's client printed.
struct Recorded {
    line: String,
    code: i64,
    out: String,
    err: String,
}

/// The recordings of commands; none where they are not at hand.
fn recorded() -> Vec<Recorded> {
    let Some(folder) = std::env::var_os("SWARMCTL_DOCKER_API").map(PathBuf::from) else {
        println!("without recordings: SWARMCTL_DOCKER_API is not set");
        return Vec::new();
    };
    let files = std::fs::read_dir(folder.join("transcripts")).into_iter().flatten().flatten();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(path).ok()?;
        let it: Value = serde_json::from_str(&text).ok()?;
        let word = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
        let line = word("command").strip_prefix("docker ")?.to_owned();
        // Names of the recorded host and images.
        let line = line.replace("127.0.0.1:5000/", "");
        Some(Recorded {
            line,
            code: it["exit_code"].as_i64()?,
            out: word("stdout"),
            err: word("stderr"),
        })
    };
    files.filter_map(|file| read(file.path())).collect()
}

/// Differences in what does not depend on ids, names and times: the code, a table's headings, whether
/// there was anything, and the words of a refusal.
fn differs(line: &str, theirs: &Recorded, ours: &Done) -> Option<String> {
    if theirs.code != i64::from(ours.code) {
        return Some(format!(
            "docker {line}: {} instead of the engine's {}",
            ours.code, theirs.code
        ));
    }
    let heading = |text: &str| {
        let first = text.lines().next().unwrap_or_default();
        let is_heading = first.len() > 2 && !first.chars().any(char::is_lowercase);
        is_heading.then(|| first.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (a, b) = (heading(&theirs.out), heading(&ours.out));
    if a != b {
        return Some(format!("docker {line}: headings {b:?} instead of {a:?}"));
    }
    // Nothing is written in a container of memory.
    let may_be_empty = line.starts_with("service logs");
    if theirs.out.is_empty() != ours.out.is_empty() && !may_be_empty {
        return Some(format!("docker {line}: {:?} instead of {:?}", ours.out, theirs.out));
    }
    let refusal = |text: &str| {
        let words = text.split_whitespace().filter(|word| word.len() < 20);
        words.collect::<Vec<_>>().join(" ")
    };
    let (a, b) = (refusal(&theirs.err), refusal(&ours.err));
    (ours.code != 0 && a != b).then(|| format!("docker {line}: {b:?} instead of {a:?}"))
}
