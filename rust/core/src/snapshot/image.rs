//! Counters out and in: a versioned, checksummed image of what every limit has counted.
//!
//! What open permits held at that moment is in the image as used: the permits do not travel with it, so nobody will
//! settle them, and counting too much is the direction that lets nothing through.
//!
//! An entry names its limit twice: by its own id, and by its owner. A configuration that is loaded anew from a file may
//! give its owners the ids that they had, but never their budgets. And it says in which windows the counts lie: a limit
//! of another engine began at another instant, and had it kept its own lattice, every restart would put off the reset.

use std::sync::Arc;

use crate::arena::Shape;
use crate::engine::Engine;
use crate::error::Fault;
use crate::period::{Duration, Lattice};
use crate::policy::edit::Editor;
use crate::policy::{Kind, Level, Limit, LimitName, Map, Window};
use crate::sync::lock;
use crate::units::Millis;

const MAGIC: &[u8; 8] = b"limen\0c2";
/// Length of the checksum at the end.
const SUM: usize = 8;

/// What a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Counters whose limit exists here: they count what the image says, as far as its windows have not passed.
    pub restored: u64,
    /// Counters whose limit does not exist here.
    pub unknown: u64,
}

/// Whose limit it is: what its level calls the owner, and of a provider config the virtual key before it.
type Place<'a> = (Level, &'a str, &'a str, Kind, Window, Duration);

/// A limit that exists, and of a provider config's the virtual key before it.
type Owned = (Option<Arc<str>>, Limit);

/// One counter of an image.
struct Entry<'a> {
    limit_id: &'a str,
    place: Place<'a>,
    /// Start of a window (of a sliding one: of each sub-window) and what was taken in it.
    pieces: Vec<(Millis, i64)>,
}

fn place<'a>(key: &'a str, name: &'a LimitName) -> Place<'a> {
    (name.level, key, &name.owner_id, name.kind, name.window, name.per)
}

impl Engine {
    /// The image: for every limit that has counted anything in its current window what it is, and how much was taken.
    #[must_use]
    pub fn snapshot(&self, now: Millis) -> Vec<u8> {
        let _editor = lock(&self.editor);
        let policy = self.policy.load();
        let mut image = MAGIC.to_vec();
        Editor::each_limit(&policy, |key, limit| {
            let pieces = self.arena.get(limit.slot).pieces(now);
            if !pieces.is_empty() {
                let place = place(key.map_or("", |key| key), &limit.name);
                write(&mut image, &Entry { limit_id: &limit.name.limit_id, place, pieces });
            }
        });
        let sum = checksum(&image);
        image.extend_from_slice(&sum);
        image
    }

    /// Let at least as much be used of the limits that exist as an image says. No counter is lowered, so the same image
    /// twice is as good as once. A window that has passed since counts for nothing. A limit whose windows lie otherwise takes
    /// over those of the image; one whose duration was edited since counts in its current window what still counts.
    ///
    /// # Errors
    /// `invalid_request` for what is no image, is one of another version, or is damaged. Then nothing has changed.
    pub fn restore(&self, image: &[u8], now: Millis) -> Result<Restored, Fault> {
        let entries = parse(image)?;
        let mut flush = lock(&self.flush);
        let mut editor = lock(&self.editor);
        let old = self.policy.load();
        let mut owned: Vec<Owned> = Vec::new();
        Editor::each_limit(&old, |key, limit| owned.push((key.cloned(), limit.clone())));
        let matched = matched(&owned, &entries);
        let mut draft = editor.draft(&self.arena, &old, &[], now)?;
        let mut raised = Vec::with_capacity(matched.len());
        for (limit, entry) in &matched {
            let slot = match self.lattice_of(limit, entry, now) {
                Some(lattice) => draft.move_to(limit, lattice),
                None => limit.slot,
            };
            raised.push((slot, &limit.name, *entry));
        }
        let (policy, successors) = draft.finish(None);
        if !successors.is_empty() {
            flush.edited(Vec::new(), &successors, true);
            self.publish(&mut editor, policy, successors);
        }
        for (slot, name, entry) in raised {
            let counter = self.arena.get(slot);
            let as_it_was = (name.window, name.per) == (entry.place.4, entry.place.5);
            if as_it_was {
                counter.raise(name.kind, &entry.pieces, now);
            } else {
                counter.charge(entry.counting(now), now);
            }
        }
        let restored = matched.len() as u64;
        Ok(Restored { restored, unknown: entries.len() as u64 - restored })
    }

    /// The lattice of an entry whose window still runs, where the limit counts on another one.
    fn lattice_of(&self, limit: &Limit, entry: &Entry<'_>, now: Millis) -> Option<Lattice> {
        let name = &limit.name;
        if (name.window, name.per) != (entry.place.4, entry.place.5) || name.window != Window::Fixed {
            return None;
        }
        let (start, _) = *entry.pieces.first()?;
        let lattice = Lattice::rolling(start, name.per.rolling_ms());
        let other = self.arena.get(limit.slot).shape() != Shape::Fixed(lattice);
        (other && entry.counting(now) > 0).then_some(lattice)
    }
}

impl Entry<'_> {
    /// What of it still counts at `now`, by the windows that it was counted in.
    fn counting(&self, now: Millis) -> i64 {
        let (_, _, _, _, window, per) = self.place;
        let counts = |start: Millis| match window {
            Window::Sliding => start.get().saturating_add(per.rolling_ms()) > now.get(),
            Window::Fixed => ends(Lattice::rolling(start, per.rolling_ms()), start) > now,
            Window::Calendar => Lattice::calendar(per).is_some_and(|lattice| ends(lattice, start) > now),
        };
        let counting = self.pieces.iter().filter(|(start, _)| counts(*start));
        counting.fold(0, |sum, (_, taken)| sum.saturating_add(*taken))
    }
}

fn ends(lattice: Lattice, start: Millis) -> Millis {
    lattice.end(lattice.window_at(start))
}

/// Limits that exist, each with its entry: first by their own ids, then what is left by their owners.
fn matched<'a, 'i>(owned: &'a [Owned], entries: &'a [Entry<'i>]) -> Vec<(&'a Limit, &'a Entry<'i>)> {
    let ids: Map<(&str, Kind), usize> =
        owned.iter().enumerate().map(|(at, (_, limit))| ((&*limit.name.limit_id, limit.kind), at)).collect();
    let places: Map<Place<'_>, usize> = owned
        .iter()
        .enumerate()
        .map(|(at, (key, limit))| (place(key.as_deref().unwrap_or(""), &limit.name), at))
        .collect();
    let mut entry_of: Vec<Option<&Entry<'_>>> = vec![None; owned.len()];
    let mut left = Vec::new();
    for entry in entries {
        match ids.get(&(entry.limit_id, entry.place.3)) {
            Some(at) => entry_of[*at] = Some(entry),
            None => left.push(entry),
        }
    }
    for entry in left {
        if let Some(at) = places.get(&entry.place) {
            entry_of[*at].get_or_insert(entry);
        }
    }
    owned.iter().zip(entry_of).filter_map(|((_, limit), entry)| Some((limit, entry?))).collect()
}

fn checksum(bytes: &[u8]) -> [u8; SUM] {
    rapidhash::v3::rapidhash_v3(bytes).to_le_bytes()
}

fn write(image: &mut Vec<u8>, entry: &Entry<'_>) {
    let (level, key, owner, kind, window, per) = entry.place;
    image.extend_from_slice(&[level as u8, kind as u8, window as u8, entry.pieces.len() as u8]);
    for text in [entry.limit_id, key, owner, &per.to_string()] {
        image.extend_from_slice(&(text.len() as u32).to_le_bytes());
        image.extend_from_slice(text.as_bytes());
    }
    for (start, taken) in &entry.pieces {
        image.extend_from_slice(&start.get().to_le_bytes());
        image.extend_from_slice(&taken.to_le_bytes());
    }
}

fn damaged(what: &'static str) -> Fault {
    Fault::invalid("data", what)
}

/// Cut `length` bytes off the front.
fn cut<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Fault> {
    let (front, back) = rest.split_at_checked(length).ok_or_else(|| damaged("the snapshot is cut off"))?;
    *rest = back;
    Ok(front)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Fault> {
    cut(rest, N)?.try_into().map_err(|_| damaged("the snapshot is cut off"))
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Fault> {
    let length = u32::from_le_bytes(array(rest)?) as usize;
    core::str::from_utf8(cut(rest, length)?).map_err(|_| damaged("the snapshot holds an id that is no text"))
}

/// The image, whole: nothing is set before all of it was understood.
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
    let mut entries = Vec::new();
    while !rest.is_empty() {
        entries.push(entry(&mut rest)?);
    }
    Ok(entries)
}

fn entry<'a>(rest: &mut &'a [u8]) -> Result<Entry<'a>, Fault> {
    let [level, kind, window, pieces] = array(rest)?;
    let known = |what| move || damaged(what);
    let level = *Level::ALL.get(level as usize).ok_or_else(known("the snapshot names an unknown level"))?;
    let kind =
        *Kind::ALL.get(kind as usize).ok_or_else(known("the snapshot names an unknown kind of limit"))?;
    let window =
        *Window::ALL.get(window as usize).ok_or_else(known("the snapshot names an unknown window"))?;
    let (limit_id, key, owner, per) = (text(rest)?, text(rest)?, text(rest)?, text(rest)?);
    let per = Duration::parse(per).map_err(|_| damaged("the snapshot names a duration that is none"))?;
    let mut taken = Vec::with_capacity(pieces.into());
    for _ in 0..pieces {
        let (start, amount) = (i64::from_le_bytes(array(rest)?), i64::from_le_bytes(array(rest)?));
        if amount < 0 {
            return Err(damaged("the snapshot holds a negative count"));
        }
        taken.push((Millis::new(start), amount));
    }
    Ok(Entry { limit_id, place: (level, key, owner, kind, window, per), pieces: taken })
}
