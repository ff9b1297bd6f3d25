//! A stand-in for GitHub on loopback, as strict as its public documentation: the REST API, the host for uploads, the host
//! that assets come from, github.com's download addresses, and Pages.
//!
//! Each rule names the page it is taken from. Nothing here was ever held against GitHub itself: no network of the tests
//! reaches it.

mod git;
mod http;
mod releases;
mod state;

pub use http::{Fault, Logged};
pub use state::{Access, Asset, Release, State};

use http::{Answer, Request};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// A running stand-in. Dropping it stops it.
pub struct GitHub {
    hosts: Hosts,
    shared: Arc<Shared>,
}

/// The addresses of the five hosts.
#[derive(Debug, Clone, Copy)]
struct Hosts {
    api: SocketAddr,
    uploads: SocketAddr,
    assets: SocketAddr,
    web: SocketAddr,
    pages: SocketAddr,
}

/// Which host a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    /// api.github.com
    Api,
    /// uploads.github.com
    Uploads,
    /// release-assets.githubusercontent.com
    Assets,
    /// github.com
    Web,
    /// OWNER.github.io
    Pages,
}

struct Shared {
    state: Mutex<State>,
    stop: AtomicBool,
}

/// The token that may write.
pub const WRITES: &str = "ghs_writes";
/// The token that may only read: that of a pull request from a fork.
pub const READS: &str = "ghs_reads";

impl GitHub {
    /// Starts one with the repository `owner/app`: one commit on `main`, and no release.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start() -> Self {
        let listeners = [Host::Api, Host::Uploads, Host::Assets, Host::Web, Host::Pages]
            .map(|host| (host, TcpListener::bind("127.0.0.1:0").expect("a free port")));
        let at = |index: usize| listeners[index].1.local_addr().expect("its address");
        let hosts = Hosts { api: at(0), uploads: at(1), assets: at(2), web: at(3), pages: at(4) };
        let shared = Arc::new(Shared { state: Mutex::new(State::new()), stop: AtomicBool::new(false) });
        for (host, listener) in listeners {
            let shared = shared.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if shared.stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let shared = shared.clone();
                    std::thread::spawn(move || {
                        http::converse(stream, &shared.state, |request, state| answer(host, hosts, request, state))
                    });
                }
            });
        }
        Self { hosts, shared }
    }

    /// Returns the variables by which the publisher finds it, with this token.
    #[must_use]
    pub fn variables(&self, token: &str) -> Vec<(String, String)> {
        [("GITHUB_API_URL", self.api()), ("GH_TOKEN", token.to_owned())].map(|(k, v)| (k.to_owned(), v)).into()
    }

    /// Returns the address of the API.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://{}", self.hosts.api)
    }

    /// Returns the address at which clients read, as a project's table has it.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "http://{}/app#targets=http://{}/owner/app/releases/download/v{{version}}/{{name}}",
            self.hosts.pages, self.hosts.web
        )
    }

    /// Returns what it knows, to look at or to change.
    ///
    /// # Panics
    /// When a request has panicked.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("the state")
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for address in [self.hosts.api, self.hosts.uploads, self.hosts.assets, self.hosts.web, self.hosts.pages] {
            drop(std::net::TcpStream::connect(address));
        }
    }
}

fn answer(host: Host, hosts: Hosts, request: &Request, state: &mut State) -> Answer {
    match host {
        Host::Api => api(hosts, request, state),
        Host::Uploads => match access(request, state) {
            Err(refused) => refused,
            Ok(access) => releases::upload(hosts, access, request, state),
        },
        Host::Assets => releases::content(request, state),
        Host::Web => releases::download(hosts, request, state),
        Host::Pages => pages(request, state),
    }
}

fn api(hosts: Hosts, request: &Request, state: &mut State) -> Answer {
    // https://docs.github.com/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent
    if request.header("user-agent").is_none_or(str::is_empty) {
        return Answer::error(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    // https://docs.github.com/rest/about-the-rest-api/api-versions: an unsupported version is a 400.
    if request.header("x-github-api-version").is_some_and(|version| !["2022-11-28", "2026-03-10"].contains(&version)) {
        return Answer::error(400, "The requested API version is not supported");
    }
    let access = match access(request, state) {
        Ok(access) => access,
        Err(refused) => return refused,
    };
    let Some(path) = request.path.strip_prefix("/repos/owner/app") else { return Answer::error(404, "Not Found") };
    // https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#404-not-found-for-an-existing-resource
    if state.is_private && access == Access::Nobody {
        return Answer::error(404, "Not Found");
    }
    if request.method != "GET" {
        match access {
            Access::Writes => {}
            // https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible
            Access::Reads => return Answer::error(403, "Resource not accessible by integration"),
            Access::Nobody => return Answer::error(401, "Requires authentication"),
        }
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("GET", []) => Answer::json(200, &json!({"full_name": "owner/app", "default_branch": "main"})),
        // https://docs.github.com/rest/pages/pages#request-a-github-pages-build
        ("POST", ["pages", "builds"]) => {
            state.build_pages();
            Answer::json(201, &json!({"status": "queued"}))
        }
        (_, ["git", rest @ ..]) => git::answer(request, rest, state),
        ("GET", ["commits"]) => git::commits(request, state),
        (_, ["releases", rest @ ..]) => releases::answer(hosts, access, request, rest, state),
        _ => Answer::error(404, "Not Found"),
    }
}

/// <https://docs.github.com/rest/authentication/authenticating-to-the-rest-api>: a wrong token is a 401, none may read what is
/// public.
fn access(request: &Request, state: &State) -> Result<Access, Answer> {
    let Some(header) = request.header("authorization") else { return Ok(Access::Nobody) };
    let token = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("token "));
    match token.and_then(|token| state.tokens.get(token)) {
        Some(access) => Ok(*access),
        None => Err(Answer::error(401, "Bad credentials")),
    }
}

/// What Pages serves: the commit that was built last, kept for ten minutes by every cache, with a long page for what does
/// not exist unless the branch has a shorter one.
fn pages(request: &Request, state: &State) -> Answer {
    let path = request.path.strip_prefix("/app/").unwrap_or_default();
    let file = |path: &str| state.built.as_ref().and_then(|commit| state.file_at(commit, path));
    let answer = match file(path) {
        Some(bytes) => Answer::bytes(200, bytes),
        None => Answer::bytes(404, file("404.html").unwrap_or_else(|| LONG_PAGE.repeat(200).into_bytes())),
    };
    answer.with("cache-control", "max-age=600")
}

/// Returns a page of a list, with the link to the next one:
/// <https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api>.
fn page(request: &Request, base: &str, items: &[Value]) -> Answer {
    let number = |name: &str| request.query(name).and_then(|value| value.parse::<usize>().ok());
    let per_page = number("per_page").unwrap_or(30).clamp(1, 100);
    let page = number("page").unwrap_or(1).max(1);
    let shown: Vec<Value> = items.iter().skip((page - 1) * per_page).take(per_page).cloned().collect();
    let answer = Answer::json(200, &Value::Array(shown));
    match page * per_page < items.len() {
        true => answer.with("link", &format!("<{base}?per_page={per_page}&page={}>; rel=\"next\"", page + 1)),
        false => answer,
    }
}

const LONG_PAGE: &str = "<p>There isn't a GitHub Pages site here.</p>\n";
