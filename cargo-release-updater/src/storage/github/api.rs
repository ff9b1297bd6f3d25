//! Requests to GitHub's REST API: who asks, what is repeated, and what an [answer](super::answer) means for its request.
//!
//! The rules are those of <https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api> and
//! <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use super::address::GitHubAddress;
use super::answer::{Answer, answer, pause};
use super::error::GitHubError;
use crate::doctor::http_date;
use serde_json::Value;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use updater_runtime::transport::Url;
use ureq::http::{Method, Request, Response};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, SendBody};

/// What the process is told about GitHub.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    api: Option<String>,
    token: Option<Token>,
    /// The commit that is released, when a workflow of this repository runs.
    commit: Option<(String, String)>,
}

impl Environment {
    /// Reads the variables that Actions and the program `gh` use.
    pub(super) fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let api = set("GITHUB_API_URL");
        // As `gh help environment` has it: a token for github.com is never sent to another server.
        let names = match api.as_deref().is_none_or(is_github_com) {
            true => ["GH_TOKEN", "GITHUB_TOKEN"],
            false => ["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"],
        };
        let token = names.iter().find_map(|name| set(name)).map(Token);
        let commit = set("GITHUB_REPOSITORY").zip(set("GITHUB_SHA"));
        Self { api, token, commit }
    }
}

/// Tells whether an API is that of github.com or one of its hosted tenants; a loopback address stands for it in tests.
fn is_github_com(api: &str) -> bool {
    Url::parse(api).is_ok_and(|url| {
        let host = url.host();
        host == "api.github.com" || host.ends_with(".ghe.com") || url.is_loopback()
    })
}

#[derive(Clone)]
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The REST API for one repository.
#[derive(Debug)]
pub(super) struct Api {
    agent: Agent,
    base: Url,
    token: Option<Token>,
    slug: String,
    commit: Option<String>,
    /// GitHub's time, and when it was told.
    clock: Mutex<Option<(SystemTime, Instant)>>,
}

/// What is sent with a request.
pub(super) enum Sent<'a> {
    Nothing,
    Json(&'a Value),
    /// This many bytes of this reader.
    Bytes(&'a mut dyn Read, u64),
}

/// Whether a request is sent again when its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// A second one changes nothing.
    Safe,
    /// A second one would do it twice.
    Never,
}

impl Api {
    pub(super) fn new(address: &GitHubAddress, environment: Environment) -> Result<Self, GitHubError> {
        let text = environment.api.as_deref().unwrap_or(DEFAULT_API).trim_end_matches('/').to_owned();
        let base = Url::parse(&text).ok().filter(|url| !url.is_file() && !text.contains('?'));
        let rule = "it must be an https:// address";
        let base = base.ok_or_else(|| GitHubError::ApiUrl { url: text.replace(['?', '@'], "*"), rule })?;
        let slug = address.slug();
        let commit = environment.commit.filter(|(repository, _)| repository.eq_ignore_ascii_case(&slug));
        Ok(Self {
            agent: agent(),
            base,
            token: environment.token,
            slug,
            commit: commit.map(|(_, commit)| commit),
            clock: Mutex::default(),
        })
    }

    /// Returns the URL of something in the repository, for example `git/refs`.
    pub(super) fn url(&self, path: &str) -> String {
        let path = format!("repos/{}/{path}", self.slug);
        self.base.join(path.trim_end_matches('/')).expose()
    }

    /// Returns owner and repository.
    pub(super) fn slug(&self) -> &str {
        &self.slug
    }

    /// Returns the commit that this workflow was started for.
    pub(super) fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Refuses to begin something that needs a token.
    pub(super) fn must_have_token(&self) -> Result<(), GitHubError> {
        match self.token {
            Some(_) => Ok(()),
            None => Err(GitHubError::NoToken { host: self.base.host().to_owned() }),
        }
    }

    /// Reads JSON; `None` when there is no such thing.
    pub(super) fn get(&self, path: &str) -> Result<Option<Value>, GitHubError> {
        let answer = self.send(&Method::GET, &self.url(path), JSON, &[], Repeat::Safe, &mut Sent::Nothing)?;
        match answer.status {
            404 => Ok(None),
            _ => answer.json().map(Some),
        }
    }

    /// Writes something and reads the JSON that comes back.
    pub(super) fn post(&self, method: &Method, path: &str, body: &Value, repeat: Repeat) -> Result<Value, GitHubError> {
        self.must_have_token()?;
        self.send(method, &self.url(path), JSON, &[], repeat, &mut Sent::Json(body))?.json()
    }

    /// Reads every page of a list, at most [`MAX_PAGES`].
    pub(super) fn pages(&self, path: &str) -> Result<Vec<Value>, GitHubError> {
        let mut items = Vec::new();
        let mut next = Some(self.url(&format!("{path}?per_page={PER_PAGE}")));
        for _ in 0..MAX_PAGES {
            let Some(url) = next.take() else { break };
            let answer = self.send(&Method::GET, &url, JSON, &[], Repeat::Safe, &mut Sent::Nothing)?;
            next = answer.next_page().filter(|url| self.is_ours(url));
            match answer.json()? {
                Value::Array(page) => items.extend(page),
                _ => return Err(GitHubError::Answer { detail: "it is no list".to_owned() }),
            }
        }
        Ok(items)
    }

    /// Sends one request until it is answered for good. A status of 404, 304 or success is returned, everything else is an
    /// error.
    pub(super) fn send(
        &self,
        method: &Method,
        url: &str,
        accept: &str,
        headers: &[(&str, &str)],
        repeat: Repeat,
        sent: &mut Sent<'_>,
    ) -> Result<Answer, GitHubError> {
        let mut waited = Duration::ZERO;
        let mut tries = 0;
        loop {
            let error = match self.once(method, url, accept, headers, sent) {
                Ok(answer) => match self.verdict(&answer, tries) {
                    Verdict::Answered => return Ok(answer),
                    Verdict::Wait(pause, message) if waited + pause > MOST_WAITED => {
                        return Err(GitHubError::RateLimit { seconds: pause.as_secs(), message });
                    }
                    // What was refused for its number was not done, whatever it was.
                    Verdict::Wait(pause, _) => {
                        waited += pause;
                        tries += 1;
                        std::thread::sleep(pause);
                        if matches!(sent, Sent::Bytes(..)) {
                            return Err(GitHubError::Status { status: 503, message: "too many requests".to_owned() });
                        }
                        continue;
                    }
                    Verdict::Failed(error) => error,
                },
                Err(error) => error,
            };
            if repeat == Repeat::Never || !error.is_temporary() || tries >= RETRIES {
                return Err(error);
            }
            std::thread::sleep(FIRST_PAUSE * 2_u32.pow(tries));
            tries += 1;
        }
    }

    /// Reads an asset, wherever GitHub redirects to; only GitHub itself sees the token.
    pub(super) fn download(&self, path: &str) -> Result<Option<Response<Body>>, GitHubError> {
        let mut url = Url::parse(&self.url(path)).map_err(|error| answer(error.to_string()))?;
        for _ in 0..=MAX_REDIRECTS {
            let mut tries = 0;
            let response = loop {
                let request = self.request(&Method::GET, &url.expose(), BYTES, &[], &Sent::Nothing)?;
                match self.agent.run(request.body(SendBody::none()).map_err(|error| answer(error.to_string()))?) {
                    Ok(response) if response.status().as_u16() < 500 => break response,
                    Ok(response) if tries >= RETRIES => {
                        let status = response.status().as_u16();
                        return Err(GitHubError::Status { status, message: "while a file was read".to_owned() });
                    }
                    Err(error) if tries >= RETRIES => return Err(self.network(&error)),
                    _ => {}
                }
                std::thread::sleep(FIRST_PAUSE * 2_u32.pow(tries));
                tries += 1;
            };
            match response.status().as_u16() {
                200 => return Ok(Some(response)),
                301 | 302 | 303 | 307 | 308 => {
                    let location = response.headers().get("location").and_then(|value| value.to_str().ok());
                    let location = location.ok_or_else(|| answer("a redirect without an address".to_owned()))?;
                    url = url.resolve(location).map_err(|error| answer(error.to_string()))?;
                }
                404 => return Ok(None),
                _ => {
                    let read = Answer::read(response)?;
                    return match self.verdict(&read, 0) {
                        Verdict::Failed(error) => Err(error),
                        Verdict::Wait(pause, message) => {
                            Err(GitHubError::RateLimit { seconds: pause.as_secs(), message })
                        }
                        Verdict::Answered => Err(GitHubError::Status { status: read.status, message: read.message() }),
                    };
                }
            }
        }
        Err(answer("too many redirects".to_owned()))
    }

    /// Returns GitHub's time.
    pub(super) fn clock(&self) -> Result<Option<SystemTime>, GitHubError> {
        let told = || *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if told().is_none() {
            self.get("")?;
        }
        Ok(told().map(|(time, since)| time + since.elapsed()))
    }

    fn once(
        &self,
        method: &Method,
        url: &str,
        accept: &str,
        headers: &[(&str, &str)],
        sent: &mut Sent<'_>,
    ) -> Result<Answer, GitHubError> {
        let request = self.request(method, url, accept, headers, sent)?;
        let invalid = |error: ureq::http::Error| answer(error.to_string());
        let response = match sent {
            Sent::Nothing => self.agent.run(request.body(SendBody::none()).map_err(invalid)?),
            Sent::Json(value) => self.agent.run(request.body(value.to_string()).map_err(invalid)?),
            Sent::Bytes(reader, _) => self.agent.run(request.body(SendBody::from_reader(*reader)).map_err(invalid)?),
        };
        let read = Answer::read(response.map_err(|error| self.network(&error))?)?;
        if let Some(time) = read.header("date").and_then(http_date).and_then(|date| u64::try_from(date).ok()) {
            let told = (UNIX_EPOCH + Duration::from_secs(time), Instant::now());
            *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        }
        Ok(read)
    }

    fn request(
        &self,
        method: &Method,
        url: &str,
        accept: &str,
        headers: &[(&str, &str)],
        sent: &Sent<'_>,
    ) -> Result<ureq::http::request::Builder, GitHubError> {
        let mut request = Request::builder().method(method.clone()).uri(url).header("accept", accept);
        // An address that GitHub redirected to, and any other host, must not see the token.
        if let Some(Token(token)) = self.token.as_ref().filter(|_| self.is_ours(url)) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if self.is_ours(url) {
            request = request.header("x-github-api-version", API_VERSION);
        }
        request = match sent {
            Sent::Nothing => request,
            Sent::Json(_) => request.header("content-type", "application/json"),
            Sent::Bytes(_, length) => {
                request.header("content-type", "application/octet-stream").header("content-length", *length)
            }
        };
        Ok(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)))
    }

    /// Tells whether an address is one of GitHub's API: the host that was set up, and on github.com that for uploads.
    fn is_ours(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| {
            let uploads = self.base.host() == "api.github.com" && url.is_https() && url.host() == "uploads.github.com";
            // In tests the host for uploads is another port of this machine.
            let of_tests = self.base.is_loopback() && url.is_loopback() && url.expose().contains("/repos/");
            url.origin() == self.base.origin() || uploads || of_tests
        })
    }

    /// Returns where an asset of a release is uploaded to, from the template that the release names (RFC 6570).
    pub(super) fn upload_url(&self, template: &str, name: &str) -> Result<String, GitHubError> {
        let base = template.split('{').next().unwrap_or_default();
        match self.is_ours(base) {
            true => Ok(format!("{base}?name={name}")),
            false => Err(answer(format!("it names {base:?} for uploads"))),
        }
    }

    fn verdict(&self, answer: &Answer, tries: u32) -> Verdict {
        let message = answer.message();
        match answer.status {
            200..=299 | 304 | 404 => Verdict::Answered,
            403 | 429 => match pause(answer, &message, tries, SystemTime::now()) {
                Some(pause) => Verdict::Wait(pause, message),
                None => Verdict::Failed(GitHubError::Forbidden { message }),
            },
            401 => Verdict::Failed(GitHubError::Token { message }),
            409 if message.contains("empty") => Verdict::Failed(GitHubError::Empty),
            422 => Verdict::Failed(GitHubError::Refused { message }),
            status => Verdict::Failed(GitHubError::Status { status, message }),
        }
    }

    fn network(&self, error: &ureq::Error) -> GitHubError {
        GitHubError::Network { host: self.base.host().to_owned(), detail: error.to_string() }
    }
}

/// What an answer means for its request.
enum Verdict {
    Answered,
    /// It is to be sent again after a pause; with what GitHub said.
    Wait(Duration, String),
    Failed(GitHubError),
}

fn agent() -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .http_status_as_error(false)
        // Followed by hand, where it can be watched who sees the token.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("cargo-updater/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT))
        .timeout_send_body(Some(TRANSFER))
        .timeout_recv_response(Some(ANSWERED))
        .timeout_recv_body(Some(TRANSFER))
        .tls_config(tls)
        .build()
        .new_agent()
}

const DEFAULT_API: &str = "https://api.github.com";
/// The version of the API that these requests are written for.
const API_VERSION: &str = "2022-11-28";
pub(super) const JSON: &str = "application/vnd.github+json";
/// Of a blob or an asset: its bytes.
pub(super) const RAW: &str = "application/vnd.github.raw+json";
const BYTES: &str = "application/octet-stream";
/// Entries of a page: the most that GitHub gives.
const PER_PAGE: u32 = 100;
/// Pages of one list: a release has 1,000 assets at most, and drafts are among the newest releases.
const MAX_PAGES: usize = 20;
const MAX_REDIRECTS: usize = 5;
/// How often a request that failed for now is sent again.
const RETRIES: u32 = 4;
/// Before the first repetition; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 2 } else { 500 });
/// The longest that one request waits for its turn: a job should not sleep through the hour of a primary limit.
const MOST_WAITED: Duration = Duration::from_secs(15 * 60);
const CONNECT: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(90);
/// The longest that a body may take: 2 GiB, the largest asset, at 1.2 MB/s.
const TRANSFER: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &[(&str, &str)]) -> Environment {
        Environment::of(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_token_is_the_one_that_gh_takes_and_goes_to_its_server_only() {
        let token = |set: &[(&str, &str)]| environment(set).token.map(|token| token.0);
        assert_eq!(token(&[("GH_TOKEN", "a"), ("GITHUB_TOKEN", "b")]).as_deref(), Some("a"));
        assert_eq!(token(&[("GH_TOKEN", " "), ("GITHUB_TOKEN", "b\n")]).as_deref(), Some("b"));
        let enterprise = ("GITHUB_API_URL", "https://git.example.com/api/v3");
        assert_eq!(token(&[enterprise, ("GH_TOKEN", "a")]), None);
        assert_eq!(token(&[enterprise, ("GH_ENTERPRISE_TOKEN", "c")]).as_deref(), Some("c"));
        assert_eq!(token(&[("GITHUB_API_URL", "https://api.t.ghe.com"), ("GH_TOKEN", "a")]).as_deref(), Some("a"));
        assert!(!format!("{:?}", environment(&[("GH_TOKEN", "hunter2")])).contains("hunter2"));

        let api = Api::new(&GitHubAddress::parse("o/r").unwrap(), environment(&[("GH_TOKEN", "a")])).unwrap();
        assert!(api.is_ours("https://api.github.com/repos/o/r") && api.is_ours("https://uploads.github.com/repos/o/r"));
        for other in ["https://evil.example/repos/o/r", "http://127.0.0.1:1/repos/o/r", "https://github.com/o/r", "x"] {
            assert!(!api.is_ours(other), "{other}");
        }
        assert!(api.upload_url("https://evil.example/x{?name}", "n").is_err());
        for bad in ["http://api.github.com", "file:///etc", "x", "https://h/?token=x"] {
            let set = environment(&[("GITHUB_API_URL", bad)]);
            let refused = Api::new(&GitHubAddress::parse("o/r").unwrap(), set);
            assert!(matches!(refused, Err(GitHubError::ApiUrl { .. })), "{bad}");
        }
    }
}
