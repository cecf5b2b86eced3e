//! Counters out and in: a versioned, checksummed image of what every limit has counted.
//!
//! What open permits held at that moment is in the image as used: the permits do not travel with it, so nobody will
//! settle them, and counting too much is the direction that lets nothing through.

use crate::engine::Engine;
use crate::error::Fault;
use crate::policy::Kind;
use crate::policy::edit::Editor;
use crate::units::Millis;

const MAGIC: &[u8; 8] = b"limen\0c1";
/// Length of the checksum at the end.
const SUM: usize = 8;

/// What a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Counters that were set.
    pub restored: u64,
    /// Counters whose limit does not exist here.
    pub unknown: u64,
}

fn damaged(what: &'static str) -> Fault {
    Fault::invalid("data", what)
}

fn checksum(bytes: &[u8]) -> [u8; SUM] {
    rapidhash::v3::rapidhash_v3(bytes).to_le_bytes()
}

impl Engine {
    /// The image: for every limit that has counted anything in its current window, its id, kind, the instant at which
    /// that window began, and how much was taken in it.
    #[must_use]
    pub fn snapshot(&self, now: Millis) -> Vec<u8> {
        let policy = self.policy.load();
        let mut image = MAGIC.to_vec();
        image.extend_from_slice(&now.get().to_le_bytes());
        Editor::each_limit(&policy, |limit| {
            let reading = self.arena.get(limit.slot).read(now);
            if reading.total() == 0 {
                return;
            }
            let id = limit.name.limit_id.as_bytes();
            image.push(limit.kind as i64 as u8);
            image.extend_from_slice(&(id.len() as u32).to_le_bytes());
            image.extend_from_slice(id);
            image.extend_from_slice(&reading.start.get().to_le_bytes());
            image.extend_from_slice(&reading.total().to_le_bytes());
        });
        let sum = checksum(&image);
        image.extend_from_slice(&sum);
        image
    }

    /// Set the counters of the limits that exist to what an image says, where its window is still the current one. The
    /// image is read whole before anything is set.
    ///
    /// # Errors
    /// `invalid_request` for what is no image, is one of another version, or is damaged. Then nothing has changed.
    pub fn restore(&self, image: &[u8], now: Millis) -> Result<Restored, Fault> {
        let entries = parse(image)?;
        let mut done = Restored::default();
        let policy = self.policy.load();
        let mut limits: crate::policy::Map<(&str, Kind), (i64, i64)> = crate::policy::Map::default();
        for entry in &entries {
            limits.insert((entry.id, entry.kind), (entry.start, entry.total));
        }
        let mut met = 0;
        Editor::each_limit(&policy, |limit| {
            if let Some((start, total)) = limits.get(&(&*limit.name.limit_id, limit.kind)) {
                met += 1;
                let counter = self.arena.get(limit.slot);
                let reading = counter.read(now);
                // A window that has passed since counts for nothing.
                let missing = total.saturating_sub(reading.total());
                if *start + limit.name.per.rolling_ms() > now.get() && missing > 0 {
                    counter.charge(missing, now);
                }
                done.restored += 1;
            }
        });
        done.unknown = entries.len() as u64 - met;
        Ok(done)
    }
}

struct Entry<'a> {
    id: &'a str,
    kind: Kind,
    start: i64,
    total: i64,
}

/// Cut `length` bytes off the front.
fn cut<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Fault> {
    let (front, back) = rest.split_at_checked(length).ok_or_else(|| damaged("the snapshot is cut off"))?;
    *rest = back;
    Ok(front)
}

fn integer(rest: &mut &[u8]) -> Result<i64, Fault> {
    let bytes = cut(rest, 8)?;
    Ok(i64::from_le_bytes(bytes.try_into().map_err(|_| damaged("the snapshot is cut off"))?))
}

fn parse(image: &[u8]) -> Result<Vec<Entry<'_>>, Fault> {
    let body_length = image.len().checked_sub(SUM).ok_or_else(|| damaged("this is no snapshot"))?;
    let (body, sum) = image.split_at(body_length);
    let mut rest = body;
    let magic = cut(&mut rest, MAGIC.len()).map_err(|_| damaged("this is no snapshot"))?;
    if magic[..7] != MAGIC[..7] {
        return Err(damaged("this is no snapshot"));
    }
    if magic != MAGIC {
        return Err(damaged("this snapshot is of another version"));
    }
    if checksum(body) != *sum {
        return Err(damaged("the snapshot is damaged: its checksum does not fit"));
    }
    integer(&mut rest)?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let kind = cut(&mut rest, 1)?[0];
        if kind > 2 {
            return Err(damaged("the snapshot names a kind of limit that does not exist"));
        }
        let length = cut(&mut rest, 4)?;
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let id = core::str::from_utf8(cut(&mut rest, length)?)
            .map_err(|_| damaged("the snapshot holds an id that is no text"))?;
        let (start, total) = (integer(&mut rest)?, integer(&mut rest)?);
        if total < 0 {
            return Err(damaged("the snapshot holds a negative count"));
        }
        entries.push(Entry { id, kind: Kind::of(i64::from(kind)), start, total });
    }
    Ok(entries)
}
