//! `swarmctl lab` with real engines: power, partitions, images, and that nothing is left behind.

mod on_real_hosts {
    use std::fs;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use cluster_tests::lab::{Lab, PROBE};

    /// Silence for so long means that nothing comes through.
    const SILENCE: Duration = Duration::from_millis(500);
    /// Long enough for TCP to repeat what a cut had swallowed.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_host_is_reached_from_outside_and_from_the_other_hosts() {
        let lab = Lab::up("reach", &["--no-cluster", "--workers", "1"]);
        lab.load_probe();
        lab.exec("w1", &["docker", "run", "-d", "-p", "80:8080", PROBE]);
        let address = lab.host("w1").address;
        let mut outside = TcpStream::connect((address, 80)).expect("reached from outside");
        write!(outside, "GET / HTTP/1.0\r\n\r\n").expect("asks");
        let mut answer = String::new();
        outside.read_to_string(&mut answer).expect("answers");
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert!(ask(&lab, "m1", "w1").contains("\"hostname\""));
        let name = lab.exec("m1", &["hostname"]);
        assert_eq!(name, "m1");
    }

    #[test]
    fn a_cut_silences_connections_that_are_open_and_healing_lets_them_go_on() {
        let lab = Lab::up("cut", &["--no-cluster", "--workers", "1"]);
        lab.load_probe();
        lab.exec("w1", &["docker", "run", "-d", "-p", "80:7", PROBE, "tcp-echo"]);
        let mut open = TcpStream::connect((lab.host("w1").address, 80)).expect("connects");
        assert_eq!(echo(&mut open, PATIENCE).expect("answers"), *b"ping");

        lab.run(&["cut", "w1", "outside"]);
        let error = echo(&mut open, SILENCE).expect_err("nothing comes through");
        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");

        lab.run(&["heal"]);
        let mut late = [0; 4];
        open.set_read_timeout(Some(PATIENCE)).expect("sets");
        open.read_exact(&mut late).expect("the lost question is asked again by TCP");
        assert_eq!(late, *b"ping");
    }

    #[test]
    fn a_partitioned_group_sees_itself_and_nobody_else() {
        let lab = Lab::up("part", &["--no-cluster", "--workers", "2"]);
        lab.load_probe();
        for host in ["m1", "w1", "w2"] {
            lab.exec(host, &["docker", "run", "-d", "-p", "80:8080", PROBE]);
        }
        lab.run(&["partition", "m1", "w1"]);
        assert!(ask(&lab, "m1", "w1").contains("\"hostname\""));
        assert!(ask(&lab, "m1", "w2").is_empty());
        assert!(ask(&lab, "w2", "w1").is_empty());
        lab.run(&["heal", "m1"]);
        assert!(ask(&lab, "m1", "w2").contains("\"hostname\""));
        assert!(ask(&lab, "w2", "w1").is_empty());
        lab.run(&["heal"]);
        assert!(ask(&lab, "w2", "w1").contains("\"hostname\""));
    }

    #[test]
    fn a_power_off_ends_everything_of_a_host_and_keeps_its_disk() {
        let lab = Lab::up("power", &["--no-cluster", "--workers", "1"]);
        lab.load_probe();
        let run = ["docker", "run", "-d", "--name", "kept", PROBE, "sleep"];
        lab.exec("w1", &run);
        lab.exec("w1", &["sh", "-c", "echo disk >/var/lib/kept; echo ram >/run/lost"]);
        lab.run(&["kill", "w1"]);
        assert_eq!(lab.host("w1").state, "off");
        assert_eq!(processes(&lab, "w1"), Vec::<String>::new());
        assert_eq!(lab.output(&["exec", "w1", "true"]).status.code(), Some(1));

        lab.run(&["start", "w1"]);
        assert_eq!(lab.exec("w1", &["cat", "/var/lib/kept"]), "disk");
        assert_eq!(lab.output(&["exec", "w1", "cat", "/run/lost"]).status.code(), Some(1));
        let state = lab.exec("w1", &["docker", "inspect", "-f", "{{.State.Status}}", "kept"]);
        assert_eq!(state, "exited");
        lab.exec("w1", &["docker", "start", "kept"]);
        assert_eq!(lab.host("m1").state, "running");
    }

    #[test]
    fn a_paused_host_answers_nobody_until_it_goes_on_and_can_be_killed_as_it_is() {
        let lab = Lab::up("pause", &["--no-cluster", "--workers", "1"]);
        lab.run(&["pause", "w1"]);
        assert_eq!(lab.host("w1").state, "paused");
        lab.run(&["resume", "w1"]);
        assert_eq!(lab.exec("w1", &["docker", "ps", "-q"]), "");
        lab.run(&["pause", "w1"]);
        lab.run(&["kill", "w1"]);
        assert_eq!(processes(&lab, "w1"), Vec::<String>::new());
        lab.run(&["up", "--no-cluster"]);
        assert_eq!(lab.host("w1").state, "running");
    }

    #[test]
    fn the_exit_code_and_the_streams_of_a_command_are_passed_on() {
        let lab = Lab::up("exec", &["--no-cluster", "--workers", "0"]);
        let script = "cat; echo problem >&2; exit 7";
        let mut child = lab
            .command(&["exec", "m1", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        child.stdin.take().expect("piped").write_all(b"through").expect("writes");
        let output = child.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(output.stdout, b"through");
        assert_eq!(output.stderr, b"problem\n");
        let output = lab.output(&["exec", "m1", "sh", "-c", "kill -9 $$"]);
        assert_eq!(output.status.code(), Some(137));
        assert_eq!(lab.output(&["exec", "m1", "no-such-program"]).status.code(), Some(127));
    }

    #[test]
    fn what_a_host_writes_to_its_own_directories_stays_in_it() {
        let lab = Lab::up("own", &["--no-cluster", "--workers", "1"]);
        let file = format!("{}-own", lab.name());
        for directory in ["etc", "var/lib", "run", "tmp", "var/tmp"] {
            let path = format!("/{directory}/{file}");
            lab.exec("m1", &["touch", &path]);
            assert!(!Path::new(&path).exists(), "{path} appeared outside");
            let seen = lab.output(&["exec", "w1", "test", "-e", &path]);
            assert_eq!(seen.status.code(), Some(1), "{path} appeared in w1");
        }
    }

    #[test]
    fn an_agent_that_dies_is_started_again_and_one_that_ends_well_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let agent = directory.path().join("agent");
        let script = "#!/bin/sh\n\
            echo \"started $*\"\n\
            echo up >>/run/agent\n\
            trap 'exit 0' TERM\n\
            while :; do sleep 0.05; [ -e /run/leave ] && exit 0; done\n";
        fs::write(&agent, script).expect("writes");
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("sets");
        let path = agent.to_str().expect("text");
        let flags = ["--no-cluster", "--workers", "0", "--agent", path, "--agent-flags", "--flag"];
        let lab = Lab::up("agent", &flags);
        let starts = |wanted: &str| {
            let count = "until [ \"$(wc -l </run/agent)\" = $0 ]; do sleep 0.02; done";
            lab.exec("m1", &["timeout", "20", "sh", "-c", count, wanted]);
        };
        starts("1");
        let address = lab.host("m1").address;
        assert_eq!(
            lab.run(&["logs", "m1", "agent"]),
            format!("started --advertise-addr {address} --flag\n")
        );
        lab.run(&["restart", "agent", "m1", "--kill"]);
        starts("2");
        lab.run(&["restart", "agent", "m1"]);
        starts("3");

        // A new build at the same path: only the agent starts again, not the host.
        let before = lab.host("m1").pid;
        fs::write(&agent, script.replace("started", "renewed")).expect("writes");
        lab.run(&["up", "--no-cluster", "--agent", path]);
        starts("4");
        assert_eq!(lab.host("m1").pid, before);
        assert!(lab.run(&["logs", "m1", "agent", "--tail", "1"]).starts_with("renewed"));

        lab.exec("m1", &["touch", "/run/leave"]);
        let gone = "until grep -q 'agent ended: Code(0)' /var/log/init.log; do sleep 0.02; done";
        lab.exec("m1", &["timeout", "20", "sh", "-c", gone]);
        lab.exec("m1", &["rm", "/run/leave"]);
        lab.run(&["restart", "engine", "m1"]);
        assert_eq!(lab.exec("m1", &["wc", "-l", "/run/agent"]), "4 /run/agent");
    }

    #[test]
    fn up_joins_every_host_and_up_again_brings_back_only_what_is_missing() {
        let lab = Lab::up("cluster", &["--managers", "3", "--workers", "1"]);
        let socket = format!("unix://{}", lab.host("m1").cluster_socket.display());
        let members = || {
            let command = ["-H", &socket, "node", "ls", "--format", "{{.Hostname}}"];
            let output = Command::new("docker").args(command).output().expect("docker starts");
            let mut names: Vec<String> =
                String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(members(), ["m1", "m2", "m3", "w1"]);
        lab.run(&["kill", "w1"]);
        let before = lab.host("m1").pid;
        lab.run(&["up", "--workers", "2"]);
        assert_eq!(members(), ["m1", "m2", "m3", "w1", "w2"]);
        assert_eq!(lab.host("m1").pid, before);
    }

    #[test]
    fn two_labs_live_side_by_side_and_one_goes_without_the_other() {
        let one = Lab::up("one", &["--no-cluster", "--workers", "0"]);
        let two = Lab::up("two", &["--no-cluster", "--workers", "0"]);
        assert_ne!(one.host("m1").address, two.host("m1").address);
        one.down();
        assert_eq!(traces(&one), Vec::<String>::new());
        assert_eq!(two.exec("m1", &["docker", "ps", "-q"]), "");
    }

    #[test]
    fn nothing_is_left_of_a_lab_that_was_busy_when_it_went_down() {
        let lab = Lab::up("trace", &["--no-cluster", "--workers", "2"]);
        lab.load_probe();
        let run = ["docker", "run", "-d", "-p", "80:8080", "--restart", "always", PROBE];
        for host in ["m1", "w1", "w2"] {
            lab.exec(host, &run);
        }
        let mut busy = lab.command(&["exec", "m1", "sleep", "600"]).spawn().expect("starts");
        lab.run(&["partition", "w1"]);
        lab.run(&["pause", "w1"]);
        lab.run(&["kill", "w2"]);
        let namespaces = namespaces(&lab);
        assert!(namespaces.len() >= 10, "{namespaces:?}");
        assert!(traces(&lab).len() > 5);

        lab.down();
        assert!(!busy.wait().expect("ends").success());
        assert_eq!(traces(&lab), Vec::<String>::new());
        assert_eq!(still_held(&namespaces), Vec::<PathBuf>::new());
        lab.down();
    }

    #[test]
    fn nothing_is_left_of_a_lab_whose_up_was_killed_half_way() {
        let lab = Lab::named("half");
        // Wherever this catches it, `down` has to cope; and so has another `up`.
        for moment_ms in [2, 10, 20, 40, 80, 160, 320] {
            let mut up = lab
                .command(&["up", "--no-cluster"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("starts");
            std::thread::sleep(Duration::from_millis(moment_ms));
            up.kill().expect("kills");
            up.wait().expect("ends");
            if moment_ms % 20 == 0 {
                lab.run(&["up", "--no-cluster"]);
            }
            lab.down();
            assert_eq!(traces(&lab), Vec::<String>::new(), "killed after {moment_ms} ms");
        }
    }

    #[test]
    fn a_switch_that_was_half_made_is_completed_by_up_and_removed_by_down() {
        let lab = Lab::up("switch", &["--no-cluster", "--workers", "0"]);
        let made = links(&lab);
        let [link] = made.as_slice() else { panic!("one link to the machine: {made:?}") };
        let name = link.file_name().expect("a name").to_str().expect("text");
        let ip = |arguments: &[&str]| {
            let status = Command::new("ip").args(arguments).status().expect("ip starts");
            assert!(status.success(), "ip {arguments:?}");
        };
        // As it is when `up` is killed right after it made the link.
        ip(&["addr", "flush", "dev", name]);
        ip(&["link", "set", name, "down", "alias", ""]);
        lab.run(&["up", "--no-cluster"]);
        let mut octets = lab.host("m1").address.octets();
        octets[3] = 1;
        TcpListener::bind((Ipv4Addr::from(octets), 0)).expect("the machine has its address");
        assert_eq!(links(&lab), made);

        ip(&["link", "set", name, "alias", ""]);
        lab.down();
        assert!(!link.exists());
    }

    #[test]
    fn nothing_is_left_of_a_lab_whose_state_file_was_lost() {
        let lab = Lab::up("lost", &["--no-cluster", "--workers", "0"]);
        fs::write(format!("/var/lib/swarmctl-lab/{}/lab.json", lab.name()), "{").expect("writes");
        let output = lab.output(&["ls"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("lab down --name"));
        lab.down();
        assert_eq!(traces(&lab), Vec::<String>::new());
    }

    #[test]
    fn wrong_input_is_answered_in_one_line_with_a_way_out() {
        let lab = Lab::up("wrong", &["--no-cluster", "--workers", "0"]);
        let lines: [(&[&str], i32, &str); 6] = [
            (&["kill", "w7"], 2, "has no host `w7` (known: m1)"),
            (&["up", "--no-cluster", "--managers", "91"], 2, "at most 90 managers"),
            (&["up", "--no-cluster", "--subnet", "10.1.1.0/24"], 2, "has the range"),
            (&["up", "--agent", "/nowhere/agent"], 1, "no agent program at /nowhere/agent"),
            (&["load", "/nowhere/image.tar"], 1, "cannot open /nowhere/image.tar"),
            (&["load", "--image", "no-such-image"], 1, "build it there first"),
        ];
        for (arguments, code, said) in lines {
            let output = lab.output(arguments);
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
            assert!(stderr.contains(said), "{arguments:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        }
        let gone = Lab::named("never");
        assert_eq!(gone.output(&["ls"]).status.code(), Some(2));
    }

    #[test]
    fn an_engine_that_cannot_start_is_reported_with_its_own_words() {
        let lab = Lab::named("flags");
        let flags = ["up", "--no-cluster", "--workers", "0", "--engine-flags", "--nonsense"];
        let output = lab.output(&flags);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("unknown flag: --nonsense"), "{stderr}");
        // Corrected, the same lab comes up.
        lab.run(&["up", "--no-cluster", "--engine-flags", ""]);
        assert_eq!(lab.host("m1").state, "running");
    }

    /// What a container on one host's port 80 answers to another host; nothing when it is silent.
    fn ask(lab: &Lab, from: &str, to: &str) -> String {
        let url = format!("http://{}/", lab.host(to).address);
        let probe = ["sample-services", "probe", "get", "--timeout-ms", "500", &url];
        let output = lab.output(&[&["exec", from], &probe[..]].concat());
        String::from_utf8(output.stdout).expect("text")
    }

    fn echo(stream: &mut TcpStream, within: Duration) -> std::io::Result<[u8; 4]> {
        stream.set_read_timeout(Some(within))?;
        stream.write_all(b"ping")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }

    /// Processes in the control groups of a host.
    fn processes(lab: &Lab, host: &str) -> Vec<String> {
        with_group(&format!("/swarmctl-lab/{}/{host}", lab.name()))
    }

    fn with_group(group: &str) -> Vec<String> {
        let belongs = |process: &Path| {
            fs::read_to_string(process.join("cgroup")).is_ok_and(|text| {
                text.lines().any(|line| {
                    line.split(group)
                        .nth(1)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            })
        };
        let describe = |process: PathBuf| {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            format!("process {} {}", process.display(), name.trim())
        };
        all_processes().into_iter().filter(|process| belongs(process)).map(describe).collect()
    }

    /// Without those that have ended, but that the machine's init has not yet taken note of.
    fn all_processes() -> Vec<PathBuf> {
        let runs = |process: &PathBuf| {
            let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
        };
        entries(Path::new("/proc")).into_iter().filter(runs).collect()
    }

    /// Everything on this machine that belongs to the lab.
    fn traces(lab: &Lab) -> Vec<String> {
        let own = format!("/swarmctl-lab/{}", lab.name());
        let mut found = with_group(&own);
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        found.extend(mounts.lines().filter(|line| line.contains(&own)).map(str::to_owned));
        found.extend(links(lab).iter().map(|link| link.display().to_string()));
        for root in ["/var/lib/swarmctl-lab", "/run/swarmctl-lab"] {
            let path = Path::new(root).join(lab.name());
            if path.exists() {
                found.push(path.display().to_string());
            }
        }
        found.extend(groups(Path::new("/sys/fs/cgroup"), lab.name()));
        found
    }

    /// The machine's links that bear the lab's mark.
    fn links(lab: &Lab) -> Vec<PathBuf> {
        let mark = format!("swarmctl-lab-{}", lab.name());
        let alias = |link: &PathBuf| fs::read_to_string(link.join("ifalias")).unwrap_or_default();
        let all = entries(Path::new("/sys/class/net"));
        all.into_iter().filter(|link| alias(link).trim() == mark).collect()
    }

    fn groups(below: &Path, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        for path in entries(below).into_iter().filter(|path| path.is_dir() && !path.is_symlink()) {
            if path.ends_with(name) {
                found.push(path.display().to_string());
            } else {
                found.extend(groups(&path, name));
            }
        }
        found
    }

    /// The namespaces of the lab's hosts that are not this test's own, and its switch's.
    fn namespaces(lab: &Lab) -> Vec<u64> {
        let of = |process: &str| -> Vec<u64> {
            ["net", "mnt", "uts", "ipc", "pid", "cgroup"]
                .iter()
                .filter_map(|kind| inode(format!("/proc/{process}/ns/{kind}")))
                .collect()
        };
        let own = of("self");
        let hosts = lab.hosts();
        let inits = hosts.iter().filter_map(|host| host.pid);
        let switch = inode(format!("/run/swarmctl-lab/{}/switch", lab.name()));
        inits
            .flat_map(|pid| of(&pid.to_string()))
            .chain(switch)
            .filter(|namespace| !own.contains(namespace))
            .collect()
    }

    /// Links in `/proc` that still lead to one of the namespaces, which keeps it alive.
    fn still_held(namespaces: &[u64]) -> Vec<PathBuf> {
        all_processes()
            .into_iter()
            .flat_map(|process| entries(&process.join("ns")))
            .filter(|link| inode(link).is_some_and(|found| namespaces.contains(&found)))
            .collect()
    }

    fn inode(path: impl AsRef<Path>) -> Option<u64> {
        fs::metadata(path).ok().map(|found| found.ino())
    }

    fn entries(directory: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
    }
}
