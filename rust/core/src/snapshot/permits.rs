//! One permit as a row: what it is, what it was taken from, and what its idempotency id answers.

use std::sync::Arc;

use super::bytes::{Rest, put, put_text};
use crate::answer::{Beside, Fallbacks, Grant, HeldReason, ModelText, PriceSource, ProviderText, Ruling};
use crate::ids::Known;
use crate::period::Epoch;
use crate::permit::{Handle, Kept, State};
use crate::policy::prices::{Manner, Over, Tariff};
use crate::pricing::{Cell, RateCard, Rates};
use crate::units::{FemtoUsd, Millis};

/// Rows of version 1 have no prices: their permits settle as those of models without one.
const VERSION: i64 = 2;

/// One counter that a permit was taken from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// Its limit's number and kind: see [`super::CounterRow`].
    pub(super) key: i64,
    /// The window of the hold, as the counter's row has it; None where that has passed.
    pub(super) epoch: Option<Epoch>,
    /// What was charged outside the hold.
    pub(super) charged: i64,
}

/// A row, read. Providers in the grant are places in the list of names.
pub(super) struct Read {
    pub(super) kept: Kept,
    pub(super) taken: Vec<Taken>,
    /// What it is settled by; the manner is in its tariff.
    pub(super) over: Option<Over>,
    pub(super) id: Option<(u128, Known)>,
}

/// The row of a permit.
pub(super) fn write(
    kept: &Kept,
    rates: Rates<'_>,
    taken: &[Taken],
    id: Option<(u128, Known)>,
    name: impl Fn(u32) -> Arc<str>,
) -> Vec<u8> {
    let mut row = Vec::with_capacity(64 + 16 * taken.len());
    let [tokens_seen, nano_seen] = kept.seen;
    for number in [
        VERSION,
        kept.generation as i64,
        kept.state as i64,
        i64::from(kept.flags),
        kept.ends,
        kept.tokens,
        kept.nano,
        kept.digest,
        kept.credential[0],
        kept.credential[1],
        tokens_seen,
        nano_seen,
        taken.len() as i64,
    ] {
        put(&mut row, number);
    }
    for one in taken {
        for number in [one.key, one.epoch.map_or(PASSED, Epoch::get), one.charged] {
            put(&mut row, number);
        }
    }
    write_prices(&mut row, kept, rates);
    put(&mut row, i64::from(id.is_some()));
    if let Some((id, known)) = id {
        for number in [(id >> 64) as i64, id as i64, known.digest as i64] {
            put(&mut row, number);
        }
        write_grant(&mut row, &known.grant, name);
    }
    row
}

/// The prices themselves: those of the next process have other numbers, and may be others.
fn write_prices(row: &mut Vec<u8>, kept: &Kept, rates: Rates<'_>) {
    put(row, i64::from(kept.tariff.manner.bits()));
    if rates.free {
        return put(row, FREE);
    }
    let prices: Vec<_> = rates.prices().collect();
    put(row, prices.len() as i64);
    for (cell, rate) in prices {
        cell.numbers().into_iter().for_each(|number| put(row, number));
        put(row, rate.get());
    }
}

/// Where what is held comes from: from nowhere.
const NO_PRICE: i64 = -1;

/// In the place of a number of prices.
const FREE: i64 = -1;

fn read_prices(rest: &mut Rest<'_>) -> Option<(Manner, Option<Over>)> {
    let manner = Manner::of(u32::try_from(rest.number()?).ok()?);
    let mut ahead = Rest(rest.0);
    if ahead.number()? == FREE {
        *rest = ahead;
        return Some((manner, Some(Over::Free)));
    }
    let prices = (0..rest.count()?).map(|_| {
        let cell = Cell::of_numbers(rest.numbers()?)?;
        Some((cell, FemtoUsd::new(rest.number().filter(|rate| *rate >= 0)?)))
    });
    let card = RateCard::of(prices.collect::<Option<Vec<_>>>()?).ok()?;
    Some((manner, (!card.is_empty()).then_some(Over::Card(card))))
}

/// No window ends there.
const PASSED: i64 = i64::MIN;

fn write_grant(row: &mut Vec<u8>, grant: &Grant, name: impl Fn(u32) -> Arc<str>) {
    let (provider, of) = match grant.provider {
        ProviderText::None => (0, 0),
        ProviderText::Known(_) => (1, 0),
        ProviderText::Stated => (2, 0),
        ProviderText::Fallback(index) => (3, index),
    };
    let (model, index, from) = match grant.model {
        ModelText::None => (0, 0, 0),
        ModelText::Requested(from) => (1, 0, from),
        ModelText::Fallback { index, from } => (2, index, from),
        ModelText::Ruled => (3, 0, 0),
    };
    let most = grant.max_output_tokens.unwrap_or(-1);
    for number in [
        provider,
        of as i64,
        model,
        index as i64,
        from as i64,
        most,
        grant.held_requests,
        grant.held_tokens,
        grant.held_nano_usd,
        grant.held_reason as i64,
        grant.held_price.map_or(NO_PRICE, |price| price as i64),
        grant.expires_at.get(),
    ] {
        put(row, number);
    }
    if let ProviderText::Known(number) = grant.provider {
        put_text(row, &name(number));
    }
    put(row, i64::from(grant.key_id.is_some()));
    if let Some(key_id) = &grant.key_id {
        put_text(row, key_id);
    }
    match &grant.fallbacks {
        // Counted from one: none of them is "from the end on".
        Fallbacks::Requested(from) => put(row, -1 - i64::try_from(*from).unwrap_or(i64::MAX - 1)),
        Fallbacks::Others(others) => {
            put(row, others.len() as i64);
            others.iter().for_each(|number| put_text(row, &name(*number)));
        }
        Fallbacks::Ruled(from) => {
            put(row, RULED);
            put(row, *from as i64);
        }
    }
    // At the end of the row, or nothing: as rows were before there were rules.
    if let Some(ruling) = grant.ruling() {
        put_text(row, &ruling.rule_id);
        put_text(row, ruling.model.as_deref().unwrap_or(""));
        let left = ruling.fallbacks.get(ruling.next..).unwrap_or_default();
        put(row, left.len() as i64);
        for (provider, model) in left {
            put_text(row, provider);
            put_text(row, model.as_deref().unwrap_or(""));
        }
    }
}

/// Before fallbacks of a ruling. No count, and nothing that is counted from the end.
const RULED: i64 = i64::MIN;

fn read_ruling(rest: &mut Rest<'_>) -> Option<Ruling> {
    let named = |model: &str| Some(Box::from(model)).filter(|_| !model.is_empty());
    let rule_id = Arc::from(rest.text()?);
    let model = named(rest.text()?);
    let fallbacks = (0..rest.count()?).map(|_| Some((Box::from(rest.text()?), named(rest.text()?))));
    Some(Ruling { rule_id, model, fallbacks: fallbacks.collect::<Option<_>>()?, next: 0 })
}

/// A row that `write` made of the permit at `index`; None for what it never makes. `place` tells where in the list of
/// names a provider's stands.
pub(super) fn read(index: u32, row: &[u8], mut place: impl FnMut(&str) -> u32) -> Option<Read> {
    let mut rest = Rest(row);
    let [version, generation, state, flags, ends, tokens, nano] = rest.numbers()?;
    let [digest, serial, fingerprint, tokens_seen, nano_seen] = rest.numbers()?;
    let state = State::kept(state)
        .filter(|_| (1..=VERSION).contains(&version) && (0..1 << 56).contains(&generation))?;
    let mut kept = Kept {
        generation: generation as u64,
        state,
        flags: u32::try_from(flags).ok()?,
        ends,
        tokens,
        nano,
        digest,
        credential: [serial, fingerprint],
        seen: [tokens_seen, nano_seen],
        tariff: Tariff::default(),
    };
    let taken = (0..rest.count()?).map(|_| {
        let [key, epoch, charged] = rest.numbers()?;
        let far = 1 << 58;
        let epoch = Some(epoch).filter(|epoch| (-far..far).contains(epoch)).map(Epoch::from_raw);
        (charged >= 0).then_some(Taken { key, epoch, charged })
    });
    let taken = taken.collect::<Option<Vec<_>>>()?;
    let (manner, over) = if version == 1 { Default::default() } else { read_prices(&mut rest)? };
    kept.tariff.manner = manner;
    let id = if rest.number()? == 0 {
        None
    } else {
        let [high, low, digest] = rest.numbers()?;
        let id = u128::from(high as u64) << 64 | u128::from(low as u64);
        let handle = Handle { index, generation: kept.generation };
        let grant = Box::new(read_grant(&mut rest, handle, version, &mut place)?);
        Some((id, Known { digest: digest as u64, grant }))
    };
    rest.end()?;
    Some(Read { kept, taken, over, id })
}

fn read_grant(
    rest: &mut Rest<'_>,
    handle: Handle,
    version: i64,
    place: &mut impl FnMut(&str) -> u32,
) -> Option<Grant> {
    let [provider, of, model, index, from, most] = rest.numbers()?;
    let [held_requests, held_tokens, held_nano_usd, reason] = rest.numbers()?;
    let price = if version == 1 { NO_PRICE } else { rest.number()? };
    let expires_at = rest.number()?;
    let [of, index, from] =
        [usize::try_from(of).ok()?, usize::try_from(index).ok()?, usize::try_from(from).ok()?];
    let provider = match provider {
        0 => ProviderText::None,
        1 => ProviderText::Known(place(rest.text()?)),
        2 => ProviderText::Stated,
        3 => ProviderText::Fallback(of),
        _ => return None,
    };
    let model = match model {
        0 => ModelText::None,
        1 => ModelText::Requested(from),
        2 => ModelText::Fallback { index, from },
        3 => ModelText::Ruled,
        _ => return None,
    };
    let held_reason =
        *[HeldReason::Stated, HeldReason::Capped, HeldReason::Guessed].get(usize::try_from(reason).ok()?)?;
    let key_id = if rest.number()? == 0 { None } else { Some(Arc::from(rest.text()?)) };
    let mut ahead = Rest(rest.0);
    let fallbacks = match ahead.number()? {
        RULED => {
            *rest = ahead;
            Fallbacks::Ruled(usize::try_from(rest.number()?).ok()?)
        }
        from @ ..0 => {
            *rest = ahead;
            let from = -1 - from;
            Fallbacks::Requested(if from == i64::MAX - 1 {
                usize::MAX
            } else {
                usize::try_from(from).ok()?
            })
        }
        _ => {
            let others = (0..rest.count()?).map(|_| rest.text().map(&mut *place));
            Fallbacks::Others(others.collect::<Option<_>>()?)
        }
    };
    let beside = if rest.0.is_empty() {
        None
    } else {
        let ruling = Some(Arc::new(read_ruling(rest)?));
        Some(Box::new(Beside { ruling, ..Beside::default() }))
    };
    Some(Grant {
        handle,
        provider,
        model,
        key_id,
        fallbacks,
        max_output_tokens: Some(most).filter(|most| *most >= 0),
        held_requests,
        held_tokens,
        held_nano_usd,
        held_reason,
        held_price: u32::try_from(price).ok().map(PriceSource::of),
        expires_at: Millis::new(expires_at),
        beside,
    })
}
