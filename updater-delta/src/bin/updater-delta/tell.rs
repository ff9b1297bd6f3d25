//! Prints what a delta is made of, for people and for programs.

use std::fmt::Write as _;
use updater_delta::{Codec, Cost, Inspection, Reading};

/// Returns the report for people; `length` is that of the delta.
pub(crate) fn text(inspection: &Inspection, length: usize) -> String {
    let mut out = String::new();
    let header = inspection.header;
    // Writing to a string does not fail.
    let _ = writeln!(out, "codec    {}", header.codec);
    let _ = writeln!(out, "old      {:>12} bytes  sha256 {}", header.old_length, hex(header.old_sha256));
    let _ = writeln!(out, "new      {:>12} bytes  sha256 {}", header.new_length, hex(header.new_sha256));
    let _ = writeln!(out, "delta    {length:>12} bytes");
    let mut inner = inspection;
    while let Some(opened) = &inner.opened {
        let header = opened.header;
        let (old, new) = (header.old_length, header.new_length);
        let _ = writeln!(out, "opened   {old:>12} bytes of old, {new} of new, codec {}", header.codec);
        inner = opened;
    }
    if inner.header.codec == Codec::Refs1 {
        body(&mut out, inner);
    }
    out
}

fn body(out: &mut String, inspection: &Inspection) {
    if let Some(reading) = inspection.reading {
        let _ = writeln!(out, "read as  {:>12}", name(reading));
    }
    let _ = writeln!(out, "matches  {:>12} covering {} bytes", inspection.matches, inspection.matched);
    let _ = writeln!(out, "inserted {:>12} bytes", inspection.header.new_length - inspection.matched);
    let _ = write!(
        out,
        "{:>16} {:>22} {:>22} {:>9} {:>12} {:>10}",
        "section", "old", "new", "matches", "matched", "inserted"
    );
    let _ = match inspection.costs {
        Some(_) => writeln!(out, " {:>9} {:>9} {:>10}", "hits", "misses", "bytes"),
        None => writeln!(out),
    };
    for row in rows(inspection) {
        let place =
            |place: Option<(u64, u64)>| place.map_or(String::new(), |(offset, length)| format!("{offset}+{length}"));
        let _ = write!(out, "{:>16} {:>22} {:>22}", row.section, place(row.old), place(row.new));
        let _ = write!(out, " {:>9} {:>12} {:>10}", row.matches, row.matched, row.inserted);
        let _ = match row.cost {
            Some(cost) => writeln!(out, " {:>9} {:>9} {:>10}", cost.hits, cost.misses, cost.bytes),
            None => writeln!(out),
        };
    }
    match &inspection.costs {
        Some(costs) => costs.streams.iter().for_each(|(name, bytes)| {
            let _ = writeln!(out, "{bytes:>12}  {name}");
        }),
        None => out.push_str("What the bytes are for is told with the old file: updater-delta inspect PATCH OLD\n"),
    }
}

/// Returns one object in one line; fields are added, never renamed.
pub(crate) fn json(inspection: &Inspection, length: usize) -> String {
    let header = inspection.header;
    let mut out = format!(
        r#"{{"codec":"{}","length":{length},"old":{{"length":{},"sha256":"{}"}},"new":{{"length":{},"sha256":"{}"}}"#,
        header.codec,
        header.old_length,
        hex(header.old_sha256),
        header.new_length,
        hex(header.new_sha256)
    );
    if let Some(opened) = &inspection.opened {
        let inner = opened.header;
        let _ = write!(
            out,
            r#","opened":{{"codec":"{}","old":{},"new":{}}}"#,
            inner.codec, inner.old_length, inner.new_length
        );
    }
    let inspection = inspection.opened.as_deref().unwrap_or(inspection);
    if let Some(reading) = inspection.reading {
        let _ = write!(
            out,
            r#","reading":"{}","matches":{},"matched":{}"#,
            name(reading),
            inspection.matches,
            inspection.matched
        );
        let sections: Vec<String> = rows(inspection).iter().map(Row::json).collect();
        let _ = write!(out, r#","sections":[{}]"#, sections.join(","));
    }
    if let Some(costs) = &inspection.costs {
        let streams: Vec<String> =
            costs.streams.iter().map(|(name, bytes)| format!(r#"{{"name":"{name}","bytes":{bytes}}}"#)).collect();
        let _ = write!(out, r#","streams":[{}]"#, streams.join(","));
    }
    out.push('}');
    out
}

const fn name(reading: Reading) -> &'static str {
    match reading {
        Reading::Programs => "programs",
        Reading::Full => "full",
        _ => "data",
    }
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One part of the new file.
struct Row {
    section: String,
    old: Option<(u64, u64)>,
    new: Option<(u64, u64)>,
    matches: u64,
    matched: u64,
    inserted: u64,
    cost: Option<Cost>,
}

impl Row {
    fn json(&self) -> String {
        let mut out = format!(r#"{{"section":"{}""#, self.section);
        for (side, place) in [("old", self.old), ("new", self.new)] {
            if let Some((offset, length)) = place {
                let _ = write!(out, r#","{side}":{{"offset":{offset},"length":{length}}}"#);
            }
        }
        let _ = write!(out, r#","matches":{},"matched":{},"inserted":{}"#, self.matches, self.matched, self.inserted);
        if let Some(cost) = self.cost {
            let _ = write!(out, r#","hits":{},"misses":{},"bytes":{}"#, cost.hits, cost.misses, cost.bytes);
        }
        out.push('}');
        out
    }
}

/// Returns the sections, and what lies in none.
fn rows(inspection: &Inspection) -> Vec<Row> {
    let (mut matches, mut matched, mut bytes) = (0, 0, 0);
    let costs = inspection.costs.as_ref();
    let mut rows = Vec::new();
    for (index, region) in inspection.regions.iter().enumerate() {
        let within = inspection.within(region.new);
        (matches, matched, bytes) = (matches + within.0, matched + within.1, bytes + region.new.1);
        rows.push(Row {
            section: region.kind.clone(),
            old: Some(region.old),
            new: Some(region.new),
            matches: within.0,
            matched: within.1,
            inserted: region.new.1 - within.1,
            cost: costs.map(|costs| costs.regions[index]),
        });
    }
    let rest = (inspection.matches - matches, inspection.matched - matched);
    rows.push(Row {
        section: "elsewhere".to_owned(),
        old: None,
        new: None,
        matches: rest.0,
        matched: rest.1,
        inserted: inspection.header.new_length - bytes - rest.1,
        cost: costs.map(|costs| costs.elsewhere),
    });
    rows
}
