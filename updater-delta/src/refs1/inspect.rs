//! What a delta is made of: read from it alone, or measured while it is applied.

use super::coder::{Coder, Decoder, Stream};
use super::control::{self, Match, Order};
use super::map::AddressMap;
use super::parts::{Body, Head};
use super::recall::{self, Recall};
use super::region::{Layout, Plan, Span, Version};
use super::source::Normal;
use super::walk::{Known, Stop, Walk};
use super::{check, lengths, scan};
use crate::{ApplyError, Cost, Costs, Inspection, Reading, RegionSummary, Side};
use std::io::{self, Read};

/// Reads what a delta says before its body, and with the old file at hand measures the body too.
pub(crate) fn inspect(old: Option<&[u8]>, mut body: &[u8], inspection: &mut Inspection) -> Result<(), ApplyError> {
    match Body::read(&mut body)? {
        Body::Whole => return stream(old, body, lengths(&inspection.header)?, 0, inspection),
        Body::Full => {
            inspection.reading = Some(Reading::Full);
            return Ok(());
        }
        Body::Parts => {}
    }
    let mut done = 0;
    while done < inspection.header.new_length {
        let missing = inspection.header.new_length - done;
        let head = Head::read(&mut body, inspection.header.old_length, missing, done)?;
        let bytes = usize::try_from(head.bytes).ok().filter(|&bytes| bytes <= body.len());
        let (ours, rest) = body.split_at(bytes.ok_or(ApplyError::Truncated { at: done })?);
        let start = usize::try_from(head.old_offset).unwrap_or(usize::MAX);
        let range = old.and_then(|old| old.get(start..)?.get(..head.old_length as usize));
        stream(range, ours, (head.old_length, head.new_length), done, inspection)?;
        done += u64::from(head.new_length);
        body = rest;
    }
    Ok(())
}

/// Adds what a stream says of the new file from `start` on.
fn stream(
    old: Option<&[u8]>,
    body: &[u8],
    (old_length, new_length): (u32, u32),
    start: u64,
    inspection: &mut Inspection,
) -> Result<(), ApplyError> {
    let mut meter = Meter::new(Decoder::new(body));
    // Every match takes some bits of the delta, so there cannot be more than those.
    let most = body.len().saturating_mul(8);
    let corrupt = |what| ApplyError::Corrupt { what, at: 0 };
    let plan = Plan::default().code(&mut meter, old_length, new_length);
    check(&mut meter.inner, 0)?;
    let plan = plan.ok_or_else(|| corrupt("an impossible plan"))?;
    let order = Order::new(&plan, new_length);
    let matches = control::code(&mut meter, None, &order, old_length, new_length, most);
    check(&mut meter.inner, 0)?;
    let matches = matches.ok_or_else(|| corrupt("an impossible match"))?;
    inspection.reading = Some(if plan.recall { Reading::Data } else { Reading::Programs });
    inspection.matches += matches.len() as u64;
    inspection.matched += matches.iter().map(|found| u64::from(found.length)).sum::<u64>();
    let spans = matches.iter().map(|found| (start + u64::from(found.new), u64::from(found.length)));
    inspection.spans.extend(spans);
    let place = |span: Span| (u64::from(span.offset), u64::from(span.length));
    let summary = |region: &super::region::Region| RegionSummary {
        kind: format!("{:?}", region.kind),
        old: place(region.old),
        new: place(region.new),
    };
    inspection.regions.extend(plan.regions.iter().map(summary));
    if let Some(old) = old {
        let costs = measure(old, meter, &plan, &order, &matches, new_length)?;
        match &mut inspection.costs {
            None => inspection.costs = Some(costs),
            Some(all) => all.add(costs),
        }
    }
    Ok(())
}

/// Goes through the body as applying does, and keeps only what each part of it takes.
fn measure(
    old: &[u8],
    meter: Meter<&[u8]>,
    plan: &Plan,
    order: &Order,
    matches: &[Match],
    new_length: u32,
) -> Result<Costs, ApplyError> {
    let read_old = |source: io::Error| ApplyError::Read { side: Side::Old, source };
    let (old_layout, new_layout) = (Layout::new(plan, Version::Old), Layout::new(plan, Version::New));
    let mut normal = Normal::new(old, plan, &old_layout, Version::Old).map_err(read_old)?;
    let pointers = std::mem::take(&mut normal.pointers);
    let references = scan::references(&mut normal, &old_layout, &pointers, usize::MAX, |_| {}).map_err(read_old)?;
    normal.pointers = pointers;
    let map = AddressMap::new(matches, plan, &old_layout, &new_layout);
    let known = Known {
        old_layout: &old_layout,
        new_layout: &new_layout,
        references: &references,
        map: &map,
        order,
        matches,
        new_length,
    };
    let recall = plan.recall.then(|| {
        let dictionary = &old[..old.len().min(recall::DICTIONARY as usize)];
        Recall::new(dictionary.to_vec(), control::inserted(matches, new_length))
    });
    let mut costs =
        Costs { streams: Vec::new(), regions: vec![Cost::default(); plan.regions.len()], elsewhere: Cost::default() };
    let mut bits = vec![0.0; plan.regions.len() + 1];
    let mut walk = Walk::new(meter, known, None, recall);
    let mut at = 0;
    // What comes before the body belongs to no region.
    walk.coder.part = Part::default();
    walk.run(&mut normal, |walk, place, bytes| {
        check(&mut walk.coder.inner, at)?;
        at += bytes.len() as u64;
        let part = std::mem::take(&mut walk.coder.part);
        let inside = |region: &super::region::Region| place.wrapping_sub(region.new.offset) < region.new.length;
        let index = plan.regions.iter().position(inside);
        let cost = index.map_or(&mut costs.elsewhere, |index| &mut costs.regions[index]);
        cost.hits += part.hits;
        cost.misses += part.misses;
        bits[index.unwrap_or(plan.regions.len())] += part.bits;
        Ok(())
    })
    .map_err(|stop| match stop {
        Stop::Old(source) => read_old(source),
        Stop::Sink(error) => error,
    })?;
    check(&mut walk.coder.inner, at)?;
    for (cost, bits) in costs.regions.iter_mut().chain([&mut costs.elsewhere]).zip(&bits) {
        cost.bytes = (bits / 8.0) as u64;
    }
    let streams = Stream::NAMES.iter().zip(walk.coder.streams);
    costs.streams = streams.map(|(&name, bits)| (name, (bits / 8.0) as u64)).collect();
    Ok(costs)
}

/// A decoder that counts what it reads.
pub(super) struct Meter<R> {
    inner: Decoder<R>,
    stream: Stream,
    /// Bits by stream.
    streams: [f64; Stream::NAMES.len()],
    /// What was read since it was last taken.
    part: Part,
}

#[derive(Default)]
struct Part {
    bits: f64,
    hits: u64,
    misses: u64,
}

impl<R: Read> Meter<R> {
    const fn new(inner: Decoder<R>) -> Self {
        let part = Part { bits: 0.0, hits: 0, misses: 0 };
        Self { inner, stream: Stream::Plan, streams: [0.0; Stream::NAMES.len()], part }
    }

    /// Counts a share of the scale.
    fn count(&mut self, size: u32) {
        let bits = -(f64::from(size) / f64::from(1 << 15)).log2();
        self.streams[self.stream as usize] += bits;
        self.part.bits += bits;
    }
}

impl<R: Read> Coder for Meter<R> {
    fn bit(&mut self, one: u32, bit: bool) -> bool {
        let bit = self.inner.bit(one, bit);
        self.count(if bit { one } else { (1 << 15) - one });
        bit
    }

    fn symbol(&mut self, ends: &[i16; 16], symbol: u32) -> (u32, u32) {
        let (symbol, share) = self.inner.symbol(ends, symbol);
        self.count(share);
        (symbol, share)
    }

    fn flat(&mut self, count: u32, value: u32) -> u32 {
        let value = self.inner.flat(count, value);
        self.count((1 << 15) >> count);
        value
    }

    fn stream(&mut self, stream: Stream) {
        self.stream = stream;
    }

    fn reference(&mut self, hit: bool) {
        if hit {
            self.part.hits += 1;
        } else {
            self.part.misses += 1;
        }
    }
}
