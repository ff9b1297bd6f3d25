//! The values of the two scripts. Everything that gets into them is an app id, a channel, a key or an address, and none of
//! these can have a quote; what has one all the same is left out.

use super::model::Site;

/// Returns the values of `install.sh`.
pub(super) fn shell_values(site: &Site) -> Vec<(&'static str, String)> {
    let keys = site.channels.iter().map(|listed| {
        let keys: Vec<&str> = listed.keys.iter().map(String::as_str).filter(|key| is_plain(key)).collect();
        format!("    {}) echo '{}' ;;\n", listed.channel, keys.join(" "))
    });
    let mut values = shared(site);
    values.push(("keys", keys.collect::<String>().trim_end().to_owned()));
    values.push(("channels", channels(site)));
    values
}

/// Returns the values of `install.ps1`.
pub(super) fn power_shell_values(site: &Site) -> Vec<(&'static str, String)> {
    let keys = site.channels.iter().map(|listed| {
        let keys: Vec<String> = listed.keys.iter().filter(|key| is_plain(key)).map(|key| format!("'{key}'")).collect();
        format!("    '{}' = @({})\n", listed.channel, keys.join(", "))
    });
    let mut values = shared(site);
    values.push(("keys", keys.collect::<String>().trim_end().to_owned()));
    values.push(("channels", channels(site)));
    values
}

fn shared(site: &Site) -> Vec<(&'static str, String)> {
    let plain = |text: &str| if is_plain(text) { text.to_owned() } else { String::new() };
    let files = site.files.as_deref().map(plain).unwrap_or_default();
    let channel = site.channels.first().map_or_else(|| "stable".to_owned(), |listed| listed.channel.to_string());
    vec![("app", site.app.to_string()), ("url", plain(&site.url)), ("files", files), ("channel", channel)]
}

fn channels(site: &Site) -> String {
    site.channels.iter().map(|listed| listed.channel.as_str()).collect::<Vec<_>>().join(", ")
}

/// Tells whether a text may stand between single quotes in either script.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '\'' | '`' | '"' | '\\' | '$'))
}
