//! `cargo updater serve` as a process that people start and stop.

use crate::package::Package;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};

#[test]
fn a_folder_is_served_and_each_request_is_told() {
    let package = Package::new();
    package.write("file.txt", "0123456789");
    let mut server = package.start(&["serve", ".", "--bind", "127.0.0.1:0", "--message-format", "json"]);
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<serde_json::Value>(&lines.next().unwrap().unwrap()).unwrap();
    let serving = next();
    assert_eq!(serving["reason"], "serving");
    let address = serving["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();

    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    stream.write_all(b"GET /file.txt HTTP/1.1\r\nRange: bytes=2-3\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 206 ") && answer.ends_with("\r\n\r\n23"), "{answer}");
    let request = next();
    assert_eq!(
        (&request["path"], &request["status"], &request["body_bytes"]),
        (&"/file.txt".into(), &206.into(), &2.into())
    );
    server.kill().unwrap();
    server.wait().unwrap();
}

#[test]
fn what_cannot_be_served_is_refused() {
    let package = Package::new();
    let missing = package.path("missing").display().to_string();
    package.run(&["serve", "missing"]).fails(60, &format!("cannot serve {missing}"), "cargo updater publish");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    package.run(&["serve", ".", "--bind", &address]).fails(2, &format!("cannot listen on {address}"), "--bind");
}
