//! What an HTTP server says about caching, and what time it has.
//!
//! A client finds a new root because `N+1.root.json` stops being absent, and a new release because `timestamp.json`
//! changes: whatever keeps either of them back in a cache hides rotations and releases.

use super::{Finding, Severity};
use crate::context::Context;
use crate::error::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use updater_runtime::transport::Url;
use ureq::http::HeaderMap;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

/// Asks for the timestamp and for a root that is not there, and looks at the headers of both answers.
pub(super) fn examine(context: &Context, url: &Url, missing_root: u64) -> Vec<Finding> {
    let agent = agent();
    let mut findings = Vec::new();
    let timestamp = url.join("metadata/timestamp.json");
    let ask = |url: &Url| agent.get(url.expose()).call().ok();
    if let Some(answer) = ask(&timestamp).filter(|answer| answer.status().is_success()) {
        findings.extend(cached(&timestamp.to_string(), answer.headers()));
        findings.extend(clock(context, url, answer.headers()));
    }
    let absent = url.join(&format!("metadata/{missing_root}.root.json"));
    if let Some(answer) = ask(&absent) {
        if answer.status().is_success() {
            findings.push(
                Finding::new(
                    "missing-answered",
                    Severity::Error,
                    ExitCode::Storage,
                    format!("{url} answers {} to what does not exist", answer.status().as_u16()),
                )
                .because("clients take the answer for a new root, refuse it, and get nothing")
                .cured_by("switch off the page that the server sends in place of a 404"),
            );
        } else {
            findings.extend(missing_cached(url, answer.headers()));
        }
    }
    findings
}

fn cached(file: &str, headers: &HeaderMap) -> Option<Finding> {
    let found = lifetime(headers);
    if found == Some(0) || found.is_some_and(|seconds| seconds <= MAX_SECONDS) {
        return None;
    }
    let what = match found {
        Some(seconds) => format!("caches may keep {file} for {seconds} s; {MAX_SECONDS} s is the most"),
        None if headers.contains_key("cache-control") => {
            format!("what the server says in Cache-Control for {file} does not say how long caches may keep it")
        }
        None => format!("the server sends no Cache-Control for {file}, so that caches keep it as long as they like"),
    };
    Some(
        Finding::new("cache-timestamp", Severity::Warning, ExitCode::Storage, what)
            .because("clients see releases, holds and yanks late, and a rotation behind them")
            .cured_by("send `Cache-Control: max-age=60, must-revalidate` for timestamp.json (docs/storages.md)"),
    )
}

fn missing_cached(url: &Url, headers: &HeaderMap) -> Option<Finding> {
    // Without a word caches may keep a 404 by their own rules (RFC 9111, 4.2.2); most keep it for seconds or not at all.
    let seconds = lifetime(headers).filter(|seconds| *seconds > MAX_SECONDS)?;
    Some(
        Finding::new(
            "cache-missing",
            Severity::Warning,
            ExitCode::Storage,
            format!(
                "caches may keep {url}'s answer that a root does not exist for {seconds} s; {MAX_SECONDS} s is the most"
            ),
        )
        .because("a new root stays invisible that long: clients that need it to replace a stolen key do not get it")
        .cured_by("send `Cache-Control: max-age=60` with 404 answers below metadata/ (docs/storages.md)"),
    )
}

/// Compares the clock of this machine with the server's.
fn clock(context: &Context, url: &Url, headers: &HeaderMap) -> Option<Finding> {
    let text = headers.get("date")?.to_str().ok()?;
    let there = http_date(text)?;
    let here = context.clock.now().unix();
    let age: i64 = headers.get("age").and_then(|age| age.to_str().ok()?.parse().ok()).unwrap_or(0);
    let minutes = (here - there - age) / 60;
    (minutes.abs() >= MAX_SKEW_MINUTES).then(|| {
        let direction = if minutes > 0 { "ahead of" } else { "behind" };
        Finding::new(
            "clock-skew",
            Severity::Warning,
            ExitCode::Unexpected,
            format!("the clock of this machine is {} minutes {direction} that of {url}", minutes.abs()),
        )
        .because("what is signed here expires by this clock")
        .cured_by("set the clock: `timedatectl set-ntp true`")
    })
}

/// Returns for how many seconds a shared cache may keep an answer; `None` when nothing is said (RFC 9111, 4.2.1).
fn lifetime(headers: &HeaderMap) -> Option<u64> {
    let words: Vec<String> = headers
        .get_all("cache-control")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().to_ascii_lowercase())
        .collect();
    if words.iter().any(|word| matches!(word.as_str(), "no-store" | "no-cache" | "private")) {
        return Some(0);
    }
    let seconds = |name: &str| {
        words.iter().filter_map(|word| word.strip_prefix(name)?.trim_matches('"').parse::<u64>().ok()).next()
    };
    seconds("s-maxage=").or_else(|| seconds("max-age="))
}

/// Reads the preferred form of an HTTP date (RFC 9110, 5.6.7) as seconds since 1970.
pub(crate) fn http_date(text: &str) -> Option<i64> {
    let [_, day, month, year, time, "GMT"] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let text = format!("{year}-{month:02}-{day}T{time}Z");
    Some(updater_format::UtcTime::parse(&text).ok()?.unix())
}

fn agent() -> ureq::Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .tls_config(tls)
        .build()
        .new_agent()
}

/// The longest that a timestamp or an absent root may stay in a cache, in seconds.
const MAX_SECONDS: u64 = 300;
/// From how many minutes on clocks are told to differ: caches and slow answers stay below.
const MAX_SKEW_MINUTES: i64 = 5;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// As HTTP writes them.
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn lifetimes_are_read_as_shared_caches_read_them() {
        for (line, expected) in [
            ("max-age=60, must-revalidate", Some(60)),
            ("public, Max-Age=600", Some(600)),
            ("max-age=60, s-maxage=3600", Some(3600)),
            ("no-cache", Some(0)),
            ("no-store, max-age=600", Some(0)),
            ("public", None),
            ("max-age=lots", None),
        ] {
            assert_eq!(lifetime(&headers(&[("cache-control", line)])), expected, "{line}");
        }
        assert_eq!(lifetime(&headers(&[])), None);
    }

    #[test]
    fn a_timestamp_may_be_cached_shortly_and_an_absent_root_too() {
        let url = Url::parse("https://example.com/x").unwrap();
        for (line, timestamp, missing) in [
            (Some("max-age=60"), false, false),
            (Some("max-age=300"), false, false),
            (Some("max-age=301"), true, true),
            (Some("no-cache"), false, false),
            (None, true, false),
        ] {
            let map = line.map_or_else(HeaderMap::new, |line| headers(&[("cache-control", line)]));
            assert_eq!(cached("t", &map).is_some(), timestamp, "{line:?}");
            let what = cached("t", &map).map(|finding| finding.what);
            assert!(line.is_some() || what.unwrap().starts_with("the server sends no Cache-Control for t,"));
            assert_eq!(missing_cached(&url, &map).is_some(), missing, "{line:?}");
        }
    }

    #[test]
    fn dates_of_http() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for text in ["", "06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 31 Feb 1994 08:49:37 GMT"] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }
}
