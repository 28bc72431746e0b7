//! The data plane on hosts made of network namespaces: packets really travel.

mod hosts;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hosts::{PORT, VIP, World, ask, ask_again, possible, published, wait_until};

/// Two servers and a client container on three hosts.
fn world() -> World {
    let mut world = World::new(3);
    for (host, last) in [(1, 11), (2, 12), (3, 13), (1, 20)] {
        world.container(host, last);
    }
    for last in [11, 12, 13] {
        world.serve(last);
    }
    world
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// One DNS question of type A to the container's own server; the addresses, or the code.
fn lookup(world: &World, from: &str, name: &str) -> Result<Vec<Ipv4Addr>, u8> {
    let mut question = vec![0x42, 0x42, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).expect("a label"));
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    let length = question.len();
    let answer = world.inside(from, move || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        socket.send_to(&question, "127.0.0.11:53").expect("sent");
        let mut buffer = [0; 2048];
        let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
        assert_eq!(from, "127.0.0.11:53".parse().expect("an address"));
        buffer[..length].to_vec()
    });
    if answer[3] & 0x0f != 0 {
        return Err(answer[3] & 0x0f);
    }
    let mut list: Vec<Ipv4Addr> = answer[length..]
        .chunks(16)
        .map(|record| Ipv4Addr::new(record[12], record[13], record[14], record[15]))
        .collect();
    list.sort();
    Ok(list)
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, last)
}

/// Asks so often that every task must have had its turn, and counts who answered.
fn answers(world: &World, from: &str, to: SocketAddr, times: u32) -> BTreeMap<String, u32> {
    let mut seen = BTreeMap::new();
    for _ in 0..times {
        let answer = world.ask(from, to).expect("an answer");
        *seen.entry(answer).or_default() += 1;
    }
    seen
}

#[test]
fn containers_reach_each_other_their_services_and_names_across_hosts() {
    if !possible() {
        return;
    }
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut world = world();
    let vip = SocketAddr::from((VIP, PORT));

    // Directly, with the sender's own address.
    assert_eq!(world.ask("c20", (ip(13), PORT).into()).expect("an answer"), "c13 10.77.0.20");

    // No task: refused at once, not after a time.
    let began = Instant::now();
    let error = world.ask("c20", vip).expect_err("nobody serves yet");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(began.elapsed() < Duration::from_secs(1));

    // All three tasks, about equally often, from another host and from a task of the service.
    world.set_backends(&[(1, 11), (2, 12), (3, 13)]);
    for from in ["c20", "c12"] {
        let seen = answers(&world, from, vip, 90);
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(seen.values().all(|count| *count > 10), "{seen:?}");
    }

    // Names.
    assert_eq!(lookup(&world, "c20", "demo_web"), Ok(vec![VIP]));
    assert_eq!(lookup(&world, "c20", "WEB"), Ok(vec![VIP]));
    assert_eq!(lookup(&world, "c12", "tasks.web"), Ok(vec![ip(11), ip(12), ip(13)]));
    assert_eq!(lookup(&world, "c12", "no.such.name.example"), Err(3));

    // A removed task gets nothing new; what it has goes on.
    let mut kept = world.inside("c20", || {
        std::iter::repeat_with(|| TcpStream::connect(vip).expect("connected"))
            .find_map(|mut stream| {
                ask_again(&mut stream).expect("an answer").starts_with("c11").then_some(stream)
            })
            .expect("c11 answers sooner or later")
    });
    world.set_backends(&[(2, 12), (3, 13)]);
    let seen = answers(&world, "c20", vip, 40);
    assert!(seen.keys().all(|answer| !answer.starts_with("c11")), "{seen:?}");
    assert_eq!(ask_again(&mut kept).expect("still served"), "c11 10.77.0.20");
    assert_eq!(lookup(&world, "c20", "tasks.web"), Ok(vec![ip(12), ip(13)]));
}

#[test]
fn every_host_takes_connections_and_tasks_see_who_the_client_is() {
    if !possible() {
        return;
    }
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut world = world();
    // Host 3 has no task of the service.
    world.set_backends(&[(1, 11), (2, 12)]);
    for host in [1, 2, 3] {
        let seen = answers(&world, "client", published(host), 20);
        let expected = BTreeMap::from([
            ("c11 192.0.2.100".to_owned(), 10),
            ("c12 192.0.2.100".to_owned(), 10),
        ]);
        assert_eq!(seen, expected, "through host {host}");
    }
    // From the host itself, by its own address.
    assert!(world.ask("h1", published(1)).expect("an answer").starts_with("c1"));
    // UDP: one client stays with one task.
    for host in [1, 3] {
        let seen: Vec<String> = world.inside("client", || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
            (0..5)
                .map(|_| {
                    socket.send_to(b"?", published(host)).expect("sent");
                    let mut buffer = [0; 64];
                    let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
                    assert_eq!(from, published(host));
                    String::from_utf8_lossy(&buffer[..length]).into_owned()
                })
                .collect()
        });
        assert!(seen[0].ends_with("192.0.2.100"), "{seen:?}");
        assert!(seen.iter().all(|answer| *answer == seen[0]), "{seen:?}");
    }
}

#[test]
fn a_change_of_tasks_under_load_loses_nothing() {
    if !possible() {
        return;
    }
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut world = world();
    world.set_backends(&[(1, 11), (2, 12)]);
    let stop = AtomicBool::new(false);
    let done = AtomicU32::new(0);
    let failed = AtomicU32::new(0);
    let targets = [
        ("c20", SocketAddr::from((VIP, PORT))),
        ("client", published(3)),
        ("client", published(1)),
    ];
    let namespaces: Vec<_> = targets.iter().map(|(from, to)| (world.open(from), *to)).collect();
    std::thread::scope(|scope| {
        let stops = Stops(&stop);
        for (namespace, to) in &namespaces {
            let (stop, done, failed) = (&stop, &done, &failed);
            scope.spawn(move || {
                namespace.enter();
                while !stop.load(Ordering::Relaxed) {
                    match ask(*to) {
                        Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            eprintln!("{to}: {error}");
                            failed.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                }
            });
        }
        for round in 0..20 {
            match round % 3 {
                0 => world.set_backends(&[(3, 13), (2, 12)]),
                1 => world.set_backends(&[(1, 11)]),
                _ => world.set_backends(&[(1, 11), (2, 12), (3, 13)]),
            }
        }
        drop(stops);
    });
    let (done, failed) = (done.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    eprintln!("{done} answers, {failed} failures in 20 changes");
    assert_eq!(failed, 0);
    assert!(done > 100, "{done}");
}

#[test]
fn after_clearing_up_nothing_is_left() {
    if !possible() {
        return;
    }
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut world = World::new(2);
    let before = [world.traces(1), world.traces(2)];
    world.container(1, 11);
    world.container(2, 12);
    world.serve(11);
    world.set_backends(&[(1, 11)]);
    assert_ne!(world.traces(2), before[1]);
    for host in [1, 2] {
        world.unplug_containers(host);
        runtime.block_on(world.hosts[&host].plane.clear()).expect("cleared");
    }
    assert!(!world.output("c11", "nft", &["list", "tables"]).contains("swarmctl"));
    for host in [1u8, 2] {
        let after = world.traces(host);
        assert_eq!(strip(&after), strip(&before[usize::from(host) - 1]), "host {host}");
        let refused = world.ask("client", published(host)).expect_err("closed");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}

/// The rule for transparent sockets is there from the start, before any order.
fn strip(traces: &str) -> Vec<&str> {
    traces.lines().filter(|line| !line.contains("4242")).collect()
}

/// Ends a load when it is dropped, also by a failure: a scope waits for its threads.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn damage_is_mended_and_a_restart_or_successor_loses_nothing() {
    if !possible() {
        return;
    }
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut world = world();
    world.set_backends(&[(1, 11), (2, 12)]);
    let to_other_host = SocketAddr::from((ip(12), PORT));

    // Somebody deletes the tunnel of host 1.
    let bridge = agent_core::net::overlay::bridge_name(hosts::NET);
    let tunnel = format!("ov{}", &bridge[2..]);
    world.output("h1", "ip", &["link", "del", &tunnel]);
    wait_until("the tunnel is back", || world.ask("c20", to_other_host).is_ok());

    // The process of host 3 is replaced by another under load.
    let stop = AtomicBool::new(false);
    let (done, failed) = (AtomicU32::new(0), AtomicU32::new(0));
    let client = world.open("client");
    let mut kept = world.inside("client", || TcpStream::connect(published(3)).expect("connected"));
    ask_again(&mut kept).expect("an answer");
    std::thread::scope(|scope| {
        let stops = Stops(&stop);
        let load = scope.spawn(|| {
            client.enter();
            while !stop.load(Ordering::Relaxed) {
                match ask(published(3)) {
                    Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        eprintln!("{error}");
                        failed.fetch_add(1, Ordering::Relaxed)
                    }
                };
            }
        });
        let successor = world.start_process(3, &["--take-over"]);
        let host = world.hosts.get_mut(&3).expect("the host");
        let mut old = std::mem::replace(&mut host.process, successor);
        world.publish_orders();
        // Its connection is still open, so the old process is.
        let revision = world.orders.fence.revision;
        wait_until("the successor follows", || {
            *world.hosts[&3].plane.applied().borrow() >= revision
        });
        ask_again(&mut kept).expect("still served");
        assert!(old.try_wait().expect("a child").is_none());
        drop(kept);
        wait_until("the old process ends", || old.try_wait().expect("a child").is_some());
        let before = done.load(Ordering::Relaxed);
        wait_until("the successor has served", || done.load(Ordering::Relaxed) > before + 20);
        drop(stops);
        load.join().expect("no panic");
    });
    assert_eq!(failed.load(Ordering::Relaxed), 0);

    // The process of host 1 is killed: overlay and virtual addresses go on; another one is started,
    // and the rest comes back.
    let host = world.hosts.get_mut(&1).expect("the host");
    host.process.kill().expect("killed");
    host.process.wait().expect("dead");
    assert!(world.ask("c20", to_other_host).is_ok());
    assert!(world.ask("c20", (VIP, PORT).into()).is_ok());
    wait_until("ingress is back", || world.ask("client", published(1)).is_ok());
    wait_until("names are back", || lookup(&world, "c20", "web") == Ok(vec![VIP]));
}
