//! The table and the diagram of what was measured.

use super::Row;
use super::rival::Rival;
use std::fmt::Write as _;

/// Returns the tables: the publisher, the client, and both beside the rival.
#[must_use]
pub fn tables(rows: &[(Row, Option<Rival>)]) -> String {
    let mut text = String::from(
        "The next publish:\n\n| releases before | objects before | requests (GET, HEAD, PUT) | objects read | objects written | bytes read | bytes written | of these metadata | CPU, s | peak, MiB |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (row, _) in rows {
        let (publish, traffic) = (&row.publish, &row.publish.traffic);
        let _ = writeln!(
            text,
            "| {} | {} | {} ({}, {}, {}) | {} | {} | {} | {} | {} | {:.2} | {:.1} |",
            grouped(publish.releases),
            grouped(publish.objects),
            traffic.requests(),
            traffic.gets,
            traffic.heads,
            traffic.puts,
            traffic.objects_read.len(),
            traffic.objects_written.len(),
            grouped(traffic.read as usize),
            grouped(traffic.written as usize),
            grouped(traffic.metadata as usize),
            publish.cpu,
            publish.peak,
        );
    }
    text.push_str("\nA client of the newest release:\n\n| releases | first check: requests | bytes | without news: requests | bytes |\n|---:|---:|---:|---:|---:|\n");
    for (row, _) in rows {
        let (first, again) = (&row.check.first, &row.check.again);
        let releases = grouped(row.publish.releases + 1);
        let _ = writeln!(
            text,
            "| {releases} | {} | {} | {} | {} |",
            first.requests(),
            grouped(first.read as usize),
            again.requests(),
            again.read
        );
    }
    if rows.iter().any(|(_, rival)| rival.is_some()) {
        text.push_str("\nBeside python-tuf with every release in one targets role, metadata alone:\n\n| releases | its publish reads | writes | CPU, s | peak, MiB | its first check | ours, of that | its targets role is |\n|---:|---:|---:|---:|---:|---:|---:|---|\n");
        for (row, rival) in rows {
            let Some(rival) = rival else { continue };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.2} | {:.0} | {} | 1 / {:.1} | {} |",
                grouped(row.publish.releases),
                grouped(rival.read as usize),
                grouped(rival.written as usize),
                rival.cpu,
                rival.peak,
                grouped(rival.first as usize),
                rival.first / row.check.first.read as f64,
                if rival.refused { "refused by its client as too long" } else { "taken" },
            );
        }
    }
    text
}

/// Returns the same as comma-separated values.
#[must_use]
pub fn csv(rows: &[(Row, Option<Rival>)]) -> String {
    let mut text = String::from(
        "releases,objects,requests,gets,heads,puts,objects_read,objects_written,bytes_read,bytes_written,metadata_written,cpu_s,peak_mib,first_requests,first_bytes,again_requests,again_bytes,rival_read,rival_written,rival_cpu_s,rival_peak_mib,rival_first_bytes,rival_again_bytes\n",
    );
    for (row, rival) in rows {
        let (publish, traffic, check) = (&row.publish, &row.publish.traffic, &row.check);
        let _ = write!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{:.2},{:.1},{},{},{},{}",
            publish.releases,
            publish.objects,
            traffic.requests(),
            traffic.gets,
            traffic.heads,
            traffic.puts,
            traffic.objects_read.len(),
            traffic.objects_written.len(),
            traffic.read,
            traffic.written,
            traffic.metadata,
            publish.cpu,
            publish.peak,
            check.first.requests(),
            check.first.read,
            check.again.requests(),
            check.again.read,
        );
        let _ = match rival {
            Some(r) => writeln!(text, ",{},{},{:.2},{:.1},{},{}", r.read, r.written, r.cpu, r.peak, r.first, r.again),
            None => writeln!(text, ",,,,,,"),
        };
    }
    text
}

/// Draws two diagrams with both axes logarithmic: requests and objects of a publish, and bytes, over the releases.
#[must_use]
pub fn svg(rows: &[(Row, Option<Rival>)]) -> String {
    let mut parts = vec![
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"860\" height=\"360\" font-family=\"sans-serif\" font-size=\"11\">".to_owned(),
        "<rect width=\"860\" height=\"360\" fill=\"white\"/>".to_owned(),
    ];
    let ours = |value: &dyn Fn(&Row) -> f64| -> Vec<(f64, f64)> {
        rows.iter().map(|(row, _)| (row.publish.releases as f64, value(row))).collect()
    };
    let theirs = |value: &dyn Fn(&Rival) -> f64| -> Vec<(f64, f64)> {
        rows.iter().filter_map(|(row, rival)| Some((row.publish.releases as f64, value(rival.as_ref()?)))).collect()
    };
    let requests = [
        ("requests of a publish", "#b03030", ours(&|row| row.publish.traffic.requests() as f64)),
        ("objects written", "#2050a0", ours(&|row| row.publish.traffic.objects_written.len() as f64)),
        ("objects there", "#999999", ours(&|row| row.publish.objects as f64)),
    ];
    let bytes = [
        ("metadata written", "#b03030", ours(&|row| row.publish.traffic.metadata as f64)),
        ("first check", "#2050a0", ours(&|row| row.check.first.read as f64)),
        ("check without news", "#208050", ours(&|row| row.check.again.read as f64)),
        ("python-tuf: metadata written", "#999999", theirs(&|rival| rival.written)),
    ];
    panel(&mut parts, 60.0, "requests and objects, over the releases there", &requests, (1.0, 1e6));
    panel(&mut parts, 490.0, "bytes, over the releases there", &bytes, (100.0, 1e8));
    parts.push("<text x=\"60\" y=\"354\">Both axes are logarithmic. Six triples; three releases listed, each with patches from three.</text></svg>".to_owned());
    parts.join("\n") + "\n"
}

/// A name, a colour, and the points in releases and what was counted.
type Line = (&'static str, &'static str, Vec<(f64, f64)>);

fn panel(parts: &mut Vec<String>, left: f64, title: &str, lines: &[Line], (low, high): (f64, f64)) {
    let x = |releases: f64| left + (releases.log10() - 1.0) / 3.0 * 320.0;
    let y = |value: f64| 320.0 - (value.max(low) / low).log10() / (high / low).log10() * 270.0;
    parts.push(format!("<text x=\"{left}\" y=\"20\" font-size=\"13\">{title}</text>"));
    for releases in [10.0, 100.0, 1000.0, 10_000.0] {
        let at = x(releases);
        parts.push(format!("<line x1=\"{at:.0}\" y1=\"50\" x2=\"{at:.0}\" y2=\"320\" stroke=\"#ddd\"/><text x=\"{at:.0}\" y=\"336\" text-anchor=\"middle\">{}</text>", grouped(releases as usize)));
    }
    let mut value = low;
    while value <= high {
        let at = y(value);
        let label = if value >= 1e6 {
            format!("{} M", value / 1e6)
        } else if value >= 1e3 {
            format!("{} k", value / 1e3)
        } else {
            value.to_string()
        };
        parts.push(format!("<line x1=\"{left}\" y1=\"{at:.0}\" x2=\"{:.0}\" y2=\"{at:.0}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{label}</text>", left + 320.0, left - 6.0, at + 4.0));
        value *= 10.0;
    }
    for (index, (name, colour, points)) in lines.iter().enumerate() {
        let Some(last) = points.last() else { continue };
        let path: Vec<String> =
            points.iter().map(|(releases, value)| format!("{:.1},{:.1}", x(*releases), y(*value))).collect();
        parts.push(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        ));
        parts.extend(points.iter().map(|(releases, value)| {
            format!("<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(*releases), y(*value))
        }));
        parts.push(format!(
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>",
            x(last.0),
            y(last.1) + if index % 2 == 0 { -8.0 } else { 16.0 }
        ));
    }
}

/// Writes a number with its thousands apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
