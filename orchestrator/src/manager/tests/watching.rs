//! Watches across a change of leader.

use tokio_stream::StreamExt as _;

use super::*;

/// A client of `/watch` that asks again from where it was when its stream ends.
struct Watcher {
    at: Router,
    body: Option<axum::body::BodyDataStream>,
    read: Vec<u8>,
    revision: u64,
    /// Names of services, in the order in which they were made.
    made: Vec<String>,
    resumed: u32,
}

impl Watcher {
    fn new(at: &Router) -> Watcher {
        Watcher {
            at: at.clone(),
            body: None,
            read: Vec::new(),
            revision: 0,
            made: Vec::new(),
            resumed: 0,
        }
    }

    async fn until_made(&mut self, name: &str) {
        while !self.made.iter().any(|made| made == name) {
            if self.step().await.is_none() {
                self.body = None;
                self.read.clear();
            }
        }
    }

    /// The next bytes; none when the stream has ended or could not be opened.
    async fn step(&mut self) -> Option<()> {
        if self.body.is_none() {
            let path = format!("/watch?kinds=service&since={}", self.revision);
            let request = axum::extract::Request::get(path).body(Body::empty()).expect("a request");
            let answer = self.at.clone().oneshot(request).await.expect("never fails");
            if answer.status() != 200 {
                assert_eq!(answer.status(), 503, "nothing but that there is no leader");
                tokio::time::sleep(Duration::from_millis(10)).await;
                return None;
            }
            self.resumed += 1;
            self.body = Some(answer.into_body().into_data_stream());
        }
        let bytes = self.body.as_mut()?.next().await?.ok()?;
        self.read.extend_from_slice(&bytes);
        while let Some(at) = self.read.iter().position(|b| *b == b'\n') {
            let line: serde_json::Value =
                serde_json::from_slice(&self.read[..at]).expect("a line of JSON");
            self.read.drain(..=at);
            for change in line["Changes"].as_array().expect("changes") {
                let name = change["Object"]["Spec"]["Name"].as_str().unwrap_or_default();
                if !self.made.iter().any(|made| made == name) {
                    self.made.push(name.to_owned());
                }
            }
            self.revision = self.revision.max(line["Revision"].as_u64().unwrap_or(0));
        }
        Some(())
    }
}

/// Makes a service, asking again while there is no leader.
async fn make(at: &Router, name: &str) {
    let spec = serde_json::json!({
        "Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "demo/web:1"}},
    });
    loop {
        let request = axum::extract::Request::post("/services/create")
            .body(Body::from(spec.to_string()))
            .expect("a request");
        let answer = at.clone().oneshot(request).await.expect("never fails");
        match answer.status().as_u16() {
            // Written before, by an attempt whose answer was lost.
            201 | 409 => return,
            503 => tokio::time::sleep(Duration::from_millis(10)).await,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_after_a_change_of_leader_and_misses_nothing() {
    // On threads of its own, so that all of it can end at once.
    let host = tokio::runtime::Runtime::new().expect("a runtime");
    let first = host.spawn(Running::first_as(Running::whole)).await.expect("no panic");
    let second = join_manager_as(Running::whole, &first, &first).await;
    let third = join_manager_as(Running::whole, &first, &first).await;
    let mut watchers = [Watcher::new(&second.local), Watcher::new(&third.local)];
    for number in 0..5 {
        make(&second.local, &format!("before{number}")).await;
    }
    for watcher in &mut watchers {
        timeout(SOON, watcher.until_made("before4")).await.expect("in time");
    }
    // What is made now is in nobody's hands yet when the leader goes.
    make(&third.local, "between").await;
    first.log.abandon();
    host.shutdown_background();
    let made = async {
        for number in 0..5 {
            make(&third.local, &format!("after{number}")).await;
        }
    };
    timeout(SOON, made).await.expect("another leader in time");
    let mut names: Vec<String> = (0..5).map(|n| format!("before{n}")).collect();
    names.push("between".to_owned());
    names.extend((0..5).map(|n| format!("after{n}")));
    names.sort();
    for watcher in &mut watchers {
        timeout(SOON, watcher.until_made("after4")).await.expect("in time");
        // What came between two looks is told together, in the order of ids.
        watcher.made.sort();
        assert_eq!(watcher.made, names);
        assert!(watcher.resumed >= 2, "its stream came from the manager that is gone");
    }
    second.stop().await;
    third.stop().await;
}
