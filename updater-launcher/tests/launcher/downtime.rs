//! Requests during updates: with the launcher's own socket none is refused, reset or answered wrongly; a server that
//! answers its health check with 500 is taken back.

use crate::running::until;
use crate::scene::{Scene, refused, text};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// A server on a socket that it is given: answers with its version, and ends what it has begun when it is asked to end.
const SERVER: &str = r#"#!/usr/bin/env python3
import os, signal, socket, sys
assert os.environ["LISTEN_FDS"] == "1" and os.environ["LISTEN_PID"] == str(os.getpid())
going = True
def end(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
server = socket.socket(fileno=int(sys.argv[1]))
server.settimeout(0.02)
while going:
    try:
        client, _ = server.accept()
    except TimeoutError:
        continue
    client.settimeout(5)
    client.recv(4096)
    body = b"VERSION"
    client.sendall(b"HTTP/1.0 STATUS x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    client.close()
"#;

struct Site {
    scene: Scene,
    address: SocketAddr,
}

impl Site {
    fn new() -> Option<Self> {
        if !updater_tests::require::command("python3", "apt-get install python3") {
            return None;
        }
        // Free a moment ago, and nobody else here asks for it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Some(Self { scene: Scene::new(), address })
    }

    fn publish(&self, version: &str, status: &str, more: &Value) {
        let mut table = json!({
            "args": ["{{fd}}"],
            "listen": self.address,
            "interval": "never",
            "update-at-start": false,
            "health": {"stay-up": "100ms", "limit": "5s"},
            "stop": {"grace": "5s"},
        });
        table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let table = table.to_string();
        let server = SERVER.replace("VERSION", version).replace("STATUS", status);
        let files: [(&str, &[u8]); 2] =
            [("bin/hello", server.as_bytes()), (".updater-launcher.json", table.as_bytes())];
        self.scene.published.release(version, "bin/hello", &files);
    }

    /// Asks once; the version that answers with 200.
    fn ask(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.0 200 ") => Ok(body.to_owned()),
            _ => Err(std::io::Error::other(format!("answered {answer:?}"))),
        }
    }

    /// Asks again and again while `meanwhile` runs; returns how many were answered. None may fail.
    fn under_load(&self, meanwhile: impl FnOnce()) -> u32 {
        let (stop, answered) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        self.ask().unwrap();
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            // Also when something here fails: the scope waits for both.
            let _stop = Stop(&stop);
            let has_answered = |number: u32| answered.load(Ordering::SeqCst) >= number;
            until("both are answered", || has_answered(2));
            meanwhile();
            // However slow this machine is: some were asked before, some meanwhile, some after.
            until("they go on being answered", || has_answered(12));
        });
        answered.into_inner()
    }
}

/// Ends those who look at it.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn no_request_fails_during_updates_by_a_socket_that_is_passed_on() {
    for overlap in [true, false] {
        let Some(site) = Site::new() else { return };
        let mut more = json!({"overlap": overlap});
        if !overlap {
            more["health"] = json!({"stay-up": "100ms", "limit": "5s", "http": format!("http://{}/", site.address)});
        }
        site.publish("1.0.0", "200", &more);
        site.scene.install();
        let mut running = site.scene.start();
        running.ready("1.0.0");
        let answered = site.under_load(|| {
            for version in ["1.1.0", "1.2.0"] {
                site.publish(version, "200", &more);
                assert_eq!(site.scene.ok(&["update"]), format!("{version}\n"));
            }
        });
        assert!(answered > 10, "{answered}");
        assert_eq!(site.ask().unwrap(), "1.2.0");
        assert_eq!(running.log().contains("side by side"), overlap);
        running.stop();
    }
}

#[test]
fn a_server_that_answers_500_is_taken_back() {
    let Some(site) = Site::new() else { return };
    // One after the other: the health check must not be answered by the old version.
    let more = json!({"overlap": false, "health": {
        "stay-up": "50ms", "limit": "4s", "http": format!("http://{}/health", site.address)}});
    site.publish("1.0.0", "200", &more);
    site.scene.install();
    let mut running = site.scene.start();
    running.ready("1.0.0");
    site.publish("1.1.0", "500", &more);
    let output = site.scene.run(&["update"]);
    refused(&output, 80, "version 1.1.0 failed");
    until("the old version answers", || site.ask().is_ok_and(|version| version == "1.0.0"));
    assert!(running.log().contains("answered 500"), "{} {}", text(&output.stderr), running.log());
    running.stop();
}
