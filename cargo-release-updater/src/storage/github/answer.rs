//! An answer of GitHub's REST API: what it says, and how long it asks to wait.
//!
//! The rules are those of <https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use super::error::GitHubError;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use ureq::Body;
use ureq::http::{HeaderMap, Response};

/// An answer without its body's stream.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn read(mut response: Response<Body>) -> Result<Self, GitHubError> {
        let headers = response.headers().clone();
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        // An error without its text is still that error.
        let body = match body {
            Ok(body) => body,
            Err(_) if status >= 300 => Vec::new(),
            Err(error) => return Err(GitHubError::Network { host: "GitHub".to_owned(), detail: error.to_string() }),
        };
        Ok(Self { status, headers, body })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn json(&self) -> Result<Value, GitHubError> {
        if self.status == 404 {
            return Err(GitHubError::Status { status: 404, message: self.message() });
        }
        serde_json::from_slice(&self.body).map_err(|error| answer(error.to_string()))
    }

    /// Returns what GitHub said about an error: its message, and the codes of the errors behind it.
    pub(super) fn message(&self) -> String {
        let Ok(value) = serde_json::from_slice::<Value>(&self.body) else { return String::new() };
        let mut text = value["message"].as_str().unwrap_or_default().to_owned();
        for error in value["errors"].as_array().into_iter().flatten() {
            let part = error["message"].as_str().or(error["code"].as_str()).or(error.as_str());
            text.extend(part.map(|part| format!(", {part}")));
        }
        text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
    }

    /// Returns the address of the next page (RFC 8288).
    pub(super) fn next_page(&self) -> Option<String> {
        let links = self.header("link")?.split(',');
        links.filter_map(|link| link.split_once(';')).find_map(|(url, what)| {
            let url = url.trim().strip_prefix('<')?.strip_suffix('>')?;
            what.contains("rel=\"next\"").then(|| url.to_owned())
        })
    }
}

/// Returns how long a refused request has to wait; `None` when it was refused for another reason than the number of requests.
pub(super) fn pause(answer: &Answer, message: &str, tries: u32, now: SystemTime) -> Option<Duration> {
    let number = |name: &str| answer.header(name)?.trim().parse::<u64>().ok();
    if let Some(seconds) = number("retry-after") {
        return Some(Duration::from_secs(seconds));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        let reset = UNIX_EPOCH + Duration::from_secs(number("x-ratelimit-reset")?);
        // A second more: the number is rounded, and clocks differ.
        return Some(reset.duration_since(now).unwrap_or_default() + Duration::from_secs(1));
    }
    let is_secondary = answer.status == 429 || message.to_ascii_lowercase().contains("secondary rate limit");
    is_secondary.then(|| MINUTE * 2_u32.pow(tries.min(3)))
}

/// An answer without a field that the interface promises.
pub(super) fn missing(field: &str) -> GitHubError {
    answer(format!("it has no `{field}`"))
}

/// An answer that is not what the interface promises.
pub(super) fn answer(detail: String) -> GitHubError {
    GitHubError::Answer { detail }
}

/// The most bytes of an answer: 32 MiB. A list of 1,000 assets has about 2.
const MAX_ANSWER: u64 = 32 * 1024 * 1024;
/// Characters of what GitHub says that are shown.
const MAX_MESSAGE: usize = 300;
/// What GitHub asks for when it does not say for how long.
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Answer { status, headers, body: Vec::new() }
    }

    #[test]
    fn pauses_are_those_that_github_asks_for() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let seconds = |answer: &Answer, message: &str, tries| pause(answer, message, tries, now).map(|d| d.as_secs());
        assert_eq!(seconds(&refused(429, &[("retry-after", "7")]), "", 0), Some(7));
        let reset = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1800000030")];
        assert_eq!(seconds(&refused(403, &reset), "", 0), Some(31));
        let passed = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000000")];
        assert_eq!(seconds(&refused(403, &passed), "", 0), Some(1));
        let secondary = "You have exceeded a secondary rate limit.";
        assert_eq!(seconds(&refused(403, &[]), secondary, 0), Some(60));
        assert_eq!(seconds(&refused(403, &[]), secondary, 2), Some(240));
        assert_eq!(seconds(&refused(429, &[]), "", 1), Some(120));
        assert_eq!(seconds(&refused(403, &[("x-ratelimit-remaining", "12")]), "Resource not accessible", 0), None);
    }

    #[test]
    fn the_next_page_is_the_one_of_the_link() {
        let link = "<https://api.github.com/x?page=3>; rel=\"next\", <https://api.github.com/x?page=9>; rel=\"last\"";
        assert_eq!(refused(200, &[("link", link)]).next_page().as_deref(), Some("https://api.github.com/x?page=3"));
        let first = "<https://api.github.com/x?page=1>; rel=\"prev\"";
        assert_eq!(refused(200, &[("link", first)]).next_page(), None);
    }
}
