//! Which proxy, for which hosts.

use super::super::{FetchError, Url};
use super::ProxyChoice;

/// The hosts that are reached without the proxy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Exempt {
    loopback: bool,
    everything: bool,
    /// Host names in lower case; each covers itself and the names below it.
    hosts: Vec<String>,
}

/// Returns the proxy to use, if any. `variable` reads the environment.
/// # Errors
/// [`FetchError::Option`] when a proxy is named that cannot be used: going past it in silence would be worse.
pub(super) fn choose(
    choice: &ProxyChoice,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<(ureq::Proxy, Exempt)>, FetchError> {
    let parse = |option: &'static str, text: &str| {
        ureq::Proxy::new(text).map_err(|_| FetchError::Option {
            option,
            detail: "it must look like http://[user:password@]host:port, or socks5h://host:port".into(),
        })
    };
    let first = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value)))
    };
    match choice {
        ProxyChoice::Direct => Ok(None),
        ProxyChoice::Through(text) => Ok(Some((parse("proxy", text)?, Exempt::default()))),
        // HTTP_PROXY is for http: URLs, which are loopback here and never go through a proxy of the environment.
        ProxyChoice::Environment => {
            let Some((name, text)) =
                first(["https_proxy", "HTTPS_PROXY"]).or_else(|| first(["all_proxy", "ALL_PROXY"]))
            else {
                return Ok(None);
            };
            let no_proxy = first(["no_proxy", "NO_PROXY"]).map(|(_, value)| value).unwrap_or_default();
            Ok(Some((parse(name, &text)?, Exempt::from_list(&no_proxy))))
        }
    }
}

impl Exempt {
    /// Reads the comma-separated list of `NO_PROXY`: `*`, or names that also cover the names below them.
    fn from_list(list: &str) -> Self {
        let entries = list.split([',', ' ']).filter(|entry| !entry.is_empty());
        let hosts = entries
            .map(|entry| {
                let entry = entry.strip_prefix("*.").unwrap_or(entry);
                let entry = entry.strip_prefix('.').unwrap_or(entry);
                // A port may follow; the whole host is exempt then. A bare IPv6 address has more than one colon.
                let bare = match entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                    Some((address, _)) => address,
                    None if entry.matches(':').count() == 1 => entry.split(':').next().unwrap_or(entry),
                    None => entry,
                };
                bare.to_ascii_lowercase()
            })
            .collect::<Vec<_>>();
        Self { loopback: true, everything: hosts.iter().any(|host| host == "*"), hosts }
    }

    /// Tells whether the URL is reached without the proxy.
    pub(super) fn covers(&self, url: &Url) -> bool {
        let host = url.host().trim_start_matches('[').trim_end_matches(']');
        self.everything
            || (self.loopback && url.is_loopback())
            || self.hosts.iter().any(|exempt| {
                host.strip_suffix(exempt.as_str()).is_some_and(|front| front.is_empty() || front.ends_with('.'))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Result<Option<(String, Exempt)>, FetchError> {
        let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        let chosen = choose(&ProxyChoice::Environment, lookup)?;
        Ok(chosen.map(|(proxy, exempt)| (format!("{}:{}", proxy.host(), proxy.port()), exempt)))
    }

    #[test]
    fn the_environment_names_the_proxy() {
        assert_eq!(chosen(&[]).unwrap(), None);
        assert_eq!(chosen(&[("HTTPS_PROXY", ""), ("HTTP_PROXY", "http://a:1")]).unwrap(), None);
        let host = |variables: &[(&str, &str)]| chosen(variables).unwrap().unwrap().0;
        assert_eq!(host(&[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:2"), ("ALL_PROXY", "c:3")]), "b:2");
        assert_eq!(host(&[("ALL_PROXY", "socks5h://c:3")]), "c:3");
        for bad in ["gopher://x:1", "::", "http://"] {
            let error = chosen(&[("HTTPS_PROXY", bad)]).unwrap_err();
            assert!(matches!(error, FetchError::Option { option: "HTTPS_PROXY", .. }), "{bad}: {error:?}");
        }
    }

    #[test]
    fn exempt_hosts() {
        let covered = |list: &str, url: &str| Exempt::from_list(list).covers(&Url::parse(url).unwrap());
        for (list, url) in [
            ("", "http://127.0.0.1:8080/"),
            ("", "http://localhost/"),
            ("*", "https://example.com/"),
            ("example.com", "https://example.com/"),
            (".Example.com", "https://a.b.example.com/"),
            ("x, *.example.com:443", "https://a.example.com/"),
            ("10.0.0.1", "https://10.0.0.1/"),
            ("fe80::1", "https://[fe80::1]/"),
            ("[fe80::1]:443", "https://[fe80::1]/"),
        ] {
            assert!(covered(list, url), "{list} covers {url}");
        }
        for (list, url) in [
            ("", "https://example.com/"),
            ("example.com", "https://notexample.com/"),
            ("example.com", "https://example.com.evil.org/"),
            ("127.0.0.1", "https://example.com/"),
        ] {
            assert!(!covered(list, url), "{list} does not cover {url}");
        }
        assert!(!Exempt::default().covers(&Url::parse("http://127.0.0.1/").unwrap()), "an explicit proxy is for all");
    }
}
