//! The addresses at which clients read: does what they serve verify, is it what was published, and do caches let a new
//! timestamp and a new root through in time.

use super::{Finding, Patient, Severity, parse_root};
use crate::context::Context;
use crate::error::{ExitCode, in_one_line};
use updater_format::trust::Rules;
use updater_format::{AppId, SignaturePolicy};
use updater_runtime::TrustStore;
use updater_runtime::refresh::{Refresh, RefreshError};
use updater_runtime::transport::{Mirror, Url};

/// Looks at each address of a project.
pub(super) fn of_project(patient: &Patient<'_>) -> Vec<Finding> {
    let Some(root) = &patient.root else { return Vec::new() };
    if patient.published().is_none() {
        // Told already, and by what is wrong rather than by what follows from it.
        return Vec::new();
    }
    let newest = patient.published().map(|state| state.timestamp().version);
    let urls = patient.table.urls.iter().filter_map(|url| Url::parse(&url.address().base).ok());
    urls.flat_map(|url| {
        let (app, statuses) = (&patient.table.app, &patient.table.missing_status);
        let found = examine(patient.context, &url, root, app, statuses, newest);
        found.into_iter().map(move |finding| with_cure(finding, &url, patient))
    })
    .collect()
}

/// Says of an address that does not answer what helps in this project.
fn with_cure(finding: Finding, url: &Url, patient: &Patient<'_>) -> Finding {
    match &patient.storage {
        Ok(storage) if finding.code == "address-unreachable" => {
            finding.cured_by(cure(url, storage.name(), storage.folder().is_some()))
        }
        _ => finding,
    }
}

fn cure(url: &Url, storage: &str, is_folder: bool) -> String {
    match url.is_loopback() && is_folder {
        true => "start it: cargo updater serve".to_owned(),
        false => format!("check `url` in the table, the network, and that the web server serves what {storage} holds"),
    }
}

/// Looks at one address. `newest` is the timestamp that the storage has.
pub(super) fn examine(
    context: &Context,
    url: &Url,
    root: &[u8],
    app: &AppId,
    missing_status: &[u16],
    newest: Option<u64>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let fetcher = match crate::verify::fetcher(missing_status) {
        Ok(fetcher) => fetcher,
        Err(error) => return vec![unreachable(url, &error.to_string(), "look at the proxy settings of this machine")],
    };
    let refresh = Refresh::new(fetcher, vec![Mirror::new(url)], TrustStore::nowhere());
    let rules = Rules { now: context.clock.now(), policy: SignaturePolicy::default(), app: Some(app.clone()) };
    match refresh.run(rules, root) {
        Err(error) => findings.push(refused(url, &error)),
        Ok(refreshed) => {
            let served = refreshed.set().current_timestamp().version;
            if let Some(newest) = newest.filter(|newest| *newest > served) {
                findings.push(
                    Finding::new(
                        "address-behind",
                        Severity::Warning,
                        ExitCode::Storage,
                        format!("{url} serves version {served} of the timestamp, version {newest} is published"),
                    )
                    .because("clients see what is published late, or this address is another place")
                    .cured_by("purge timestamp.json from the CDN; if it stays, compare `url` with `storage`"),
                );
            }
        }
    }
    let network_works = !findings.iter().any(|finding| finding.code == "address-unreachable");
    if !url.is_file() && network_works {
        let next = parse_root(root).map_or(1, |root| root.version) + MISSING_ROOT;
        findings.extend(super::headers::examine(context, url, next));
    }
    findings
}

fn refused(url: &Url, error: &RefreshError) -> Finding {
    match error {
        RefreshError::Fetch(error) => {
            unreachable(url, &error.to_string(), crate::verify::not_even_a_timestamp(error).unwrap_or(error.hint()))
        }
        RefreshError::Stale { role, since } => Finding::new(
            "address-stale",
            Severity::Error,
            ExitCode::Verification,
            format!("the role {role} that {url} serves expired on {since}"),
        )
        .because("clients install nothing from there; the apps go on running")
        .cured_by("cargo updater refresh; if the storage is newer, purge the CDN"),
        error => Finding::new("address-refused", Severity::Error, ExitCode::Verification, in_one_line(error))
            .because("clients refuse it, too, and get nothing new")
            .cured_by(format!("cargo updater verify {url}")),
    }
}

fn unreachable(url: &Url, error: &str, cure: &str) -> Finding {
    let what = if error.contains(&url.to_string()) { error.to_owned() } else { format!("{url}: {error}") };
    let cure = if url.is_loopback() { "start its server, for example `cargo updater serve FOLDER`" } else { cure };
    Finding::new("address-unreachable", Severity::Error, ExitCode::Storage, what)
        .because("clients that read there are told nothing; the apps go on running")
        .cured_by(cure)
}

/// How far beyond the newest root one is asked for that is not there: so far that asking cannot put a 404 into a cache
/// that the next rotation then meets.
const MISSING_ROOT: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_this_machine_is_served_by_ourselves() {
        let [here, there] = ["http://127.0.0.1:8700", "https://example.com/hello"].map(|url| Url::parse(url).unwrap());
        assert_eq!(cure(&here, "fs:/srv/hello", true), "start it: cargo updater serve");
        for (url, storage, is_folder) in [(&here, "s3://bucket", false), (&there, "fs:/srv/hello", true)] {
            let cure = cure(url, storage, is_folder);
            assert!(cure.starts_with("check `url` in the table") && cure.contains(storage), "{cure}");
        }
    }
}
