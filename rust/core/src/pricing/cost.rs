//! What a call costs: products of integers, one sum, one rounding.
//!
//! Who decides wants the sum alone, who explains wants its lines as well. Both run the same code over a [`Sink`]
//! that keeps lines or does not, so that they cannot differ.

use std::fmt;

use super::call::{Call, MORE_THAN_TEXT};
use super::card::{Found, Plain, RateCard};
use super::component::{ANY_PROMPT, Cell, Component, Variant, write_tier};
use super::rates::{Look, Rates};
use crate::error::{Code, Fault};
use crate::request::RequestType;
use crate::units::{FemtoUsd, NanoUsd};
use crate::usage::{Usage, Word};

/// Few costs have more.
const LINES: usize = 6;

pub(super) const MILLION: i64 = 1_000_000;

/// An exact sum of money. Beyond what 128 bits hold it stays at the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exact {
    femto: i128,
    /// Millionths of a femto-dollar, below a million: seconds have six decimals.
    millionths: u32,
}

impl Exact {
    #[inline(always)]
    fn new(femto: i128, millionths: i128) -> Exact {
        if millionths == 0 {
            return Exact { femto, millionths: 0 };
        }
        let million = i128::from(MILLION);
        Exact {
            femto: femto.saturating_add(millionths / million),
            millionths: u32::try_from(millionths % million).unwrap_or(0),
        }
    }

    /// Whole femto-dollars, and the millionths of one that are left.
    #[must_use]
    pub const fn parts(self) -> (i128, u32) {
        (self.femto, self.millionths)
    }

    /// Rounded up to a nano-dollar; at most the largest that there is.
    #[inline]
    #[must_use]
    pub fn round_up(self) -> NanoUsd {
        // Nearly every sum fits into 64 bits, where a division by a constant is a multiplication.
        if let Ok(femto) = u64::try_from(self.femto) {
            let up = femto % MILLION as u64 > 0 || self.millionths > 0;
            return NanoUsd::new((femto / MILLION as u64) as i64 + i64::from(up));
        }
        let million = i128::from(MILLION);
        let up = self.femto % million > 0 || self.millionths > 0;
        NanoUsd::new(i64::try_from(self.femto / million + i128::from(up)).unwrap_or(i64::MAX))
    }
}

/// Dollars as the shortest exact decimal text.
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FEMTO_PER_USD: i128 = 1_000_000_000_000_000;
        let (dollars, femto) = (self.femto / FEMTO_PER_USD, self.femto % FEMTO_PER_USD);
        if femto == 0 && self.millionths == 0 {
            return write!(f, "{dollars}");
        }
        let text = format!("{dollars}.{femto:015}{:06}", self.millionths);
        f.write_str(text.trim_end_matches('0'))
    }
}

/// One product of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where the price was found; where there is none, the plain price that the usage needs.
    pub cell: Cell,
    /// How many; seconds in millionths.
    pub quantity: i64,
    /// The price of one.
    pub rate: Option<FemtoUsd>,
}

impl Line {
    /// What it adds to the sum.
    #[must_use]
    pub fn amount(&self) -> Exact {
        let product = i128::from(self.quantity) * i128::from(self.rate.map_or(0, FemtoUsd::get));
        if self.cell.component.in_seconds() { Exact::new(0, product) } else { Exact::new(product, 0) }
    }

    /// How many, as decimal text.
    #[must_use]
    pub fn quantity_text(&self) -> String {
        if !self.cell.component.in_seconds() {
            return self.quantity.to_string();
        }
        let (seconds, micro) = (self.quantity / MILLION, self.quantity % MILLION);
        if micro == 0 {
            return seconds.to_string();
        }
        format!("{seconds}.{micro:06}").trim_end_matches('0').to_owned()
    }
}

/// A sum, and the first price that it lacks: what that one would add is missing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// The sum of what has a price.
    pub exact: Exact,
    /// The plain price that the usage needs and the card does not have.
    pub unknown: Option<Component>,
    /// Whether any of it is a price that stands in for one that is not known.
    pub by_default: bool,
}

/// A price with its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The sum.
    pub price: Price,
    /// What it is the sum of, each with a quantity above zero.
    pub lines: Vec<Line>,
}

impl Cost {
    /// The tier that the call took, as the end of a field's name: the highest threshold that any line took, and the
    /// first variant. Empty where all prices are plain.
    #[must_use]
    pub fn tier(&self) -> String {
        let cells = || self.lines.iter().map(|line| line.cell);
        let threshold = cells().map(|cell| cell.threshold).max().unwrap_or(ANY_PROMPT);
        let variant = cells().map(|cell| cell.variant).min().unwrap_or(Variant::Plain);
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = write_tier(&mut text, threshold, variant);
        text.trim_start_matches('_').to_owned()
    }
}

/// Where the lines of a cost go.
pub(super) trait Sink {
    fn line(&mut self, line: Line);
}

/// Nowhere.
impl Sink for () {
    #[inline(always)]
    fn line(&mut self, _: Line) {}
}

impl Sink for Vec<Line> {
    #[inline]
    fn line(&mut self, line: Line) {
        self.push(line);
    }
}

/// A cost in the making: one call, one model's prices.
pub(super) struct Bill<'a, S> {
    /// Apart from the rest, which is written to: a sum whose place nobody else knows can stay in registers.
    look: &'a Look<'a>,
    plain: Option<Plain<'a>>,
    pub(super) call: &'a Call,
    sink: S,
    femto: i128,
    millionths: i128,
    unknown: Option<Component>,
    by_default: bool,
}

/// What a call costs, and the sink with its lines.
#[inline(always)]
fn bill<S: Sink>(look: &Look<'_>, call: &Call, request_type: RequestType, sink: S) -> (Price, S) {
    if is_text(request_type) && !call.any(MORE_THAN_TEXT) {
        let mut bill = Bill::new(look, call, sink);
        bill.text_alone();
        bill.end()
    } else {
        of_any_kind(look, call, request_type, sink)
    }
}

/// The same, whatever the call has. By itself, so that a bill of text alone is nobody's but its own function's.
#[inline(never)]
fn of_any_kind<S: Sink>(look: &Look<'_>, call: &Call, request_type: RequestType, sink: S) -> (Price, S) {
    let mut bill = Bill::new(look, call, sink);
    match request_type {
        RequestType::ChatCompletion | RequestType::TextCompletion | RequestType::Responses => bill.text(),
        RequestType::Embedding => bill.embedding(),
        RequestType::Rerank => bill.rerank(),
        RequestType::Speech => bill.speech(),
        RequestType::Transcription => bill.transcription(),
        RequestType::ImageGeneration | RequestType::ImageVariation | RequestType::ImageEdit => bill.images(),
        RequestType::VideoGeneration | RequestType::VideoRemix => bill.video(),
    }
    bill.end()
}

fn is_text(request_type: RequestType) -> bool {
    use RequestType as T;
    matches!(request_type, T::ChatCompletion | T::TextCompletion | T::Responses)
}

impl<'a, S: Sink> Bill<'a, S> {
    #[inline(always)]
    fn new(look: &'a Look<'a>, call: &'a Call, sink: S) -> Self {
        let plain = look.plain;
        Bill { look, plain, call, sink, femto: 0, millionths: 0, unknown: None, by_default: false }
    }

    #[inline(always)]
    fn end(self) -> (Price, S) {
        let exact = Exact::new(self.femto, self.millionths);
        (Price { exact, unknown: self.unknown, by_default: self.by_default }, self.sink)
    }

    /// The first price of a chain that there is. Where tokens may be of the completion as well, the price of the input
    /// is the dearer of both.
    #[inline(always)]
    pub(super) fn first(&self, chain: &[Component]) -> Option<Found> {
        match self.plain.and_then(|plain| plain.first(chain)) {
            None => self.look.first(chain),
            found => found,
        }
    }

    /// Charge a quantity at the first price of a chain that the card has; unknown is the last of it. The prices of a
    /// chain are all for tokens (or what else is counted), or all for seconds.
    #[inline(always)]
    pub(super) fn charge(&mut self, quantity: i64, chain: &[Component]) {
        if quantity > 0 {
            self.charge_at(quantity, self.first(chain), chain);
        }
    }

    /// Charge the first of some quantities that is not zero and has a price; unknown is that of the first that is
    /// not zero.
    #[inline(always)]
    pub(super) fn charge_either(&mut self, either: &[(i64, &[Component])]) {
        let some = || either.iter().filter(|(quantity, _)| *quantity > 0);
        let priced = some().find_map(|(quantity, chain)| Some((*quantity, self.first(chain)?, *chain)));
        match (priced, some().next()) {
            (Some((quantity, found, chain)), _) => self.charge_at(quantity, Some(found), chain),
            (None, Some((quantity, chain))) => self.charge_at(*quantity, None, chain),
            (None, None) => {}
        }
    }

    #[inline(always)]
    fn charge_at(&mut self, quantity: i64, found: Option<Found>, chain: &[Component]) {
        let Some(Found { cell, rate, by_default }) = found else {
            let component = chain.last().copied().unwrap_or(Component::Input);
            self.unknown = self.unknown.or(Some(component));
            return self.sink.line(Line { cell: Cell::plain(component), quantity, rate: None });
        };
        // Two factors below 2^63 have a product below 2^126: only a sum may be too large.
        let product = i128::from(quantity) * i128::from(rate.get());
        let in_seconds = chain.first().is_some_and(|first| first.in_seconds());
        let sum = if in_seconds { &mut self.millionths } else { &mut self.femto };
        *sum = sum.checked_add(product).unwrap_or_else(the_most);
        self.by_default |= by_default;
        self.sink.line(Line { cell, quantity, rate: Some(rate) });
    }
}

#[cold]
fn the_most() -> i128 {
    i128::MAX
}

/// What a call costs. Nothing is allocated.
#[must_use]
pub fn price<'a>(rates: impl Into<Rates<'a>>, usage: &Usage, request_type: RequestType) -> Price {
    let mut call = Call::new();
    call.read(usage);
    bill(&rates.into().look(&call), &call, request_type, ()).0
}

/// What a call costs, line by line.
#[must_use]
pub fn cost<'a>(rates: impl Into<Rates<'a>>, usage: &Usage, request_type: RequestType) -> Cost {
    let mut call = Call::new();
    call.read(usage);
    let lines = Vec::with_capacity(LINES);
    let (price, lines) = bill(&rates.into().look(&call), &call, request_type, lines);
    Cost { price, lines }
}

impl RateCard {
    /// What a call costs by this card alone, where no policy says what becomes of an unknown price.
    ///
    /// # Errors
    /// `price_unknown` with the field that is missing; `invalid_request` where the usage states a cost, which is none
    /// of the card's.
    pub fn cost(&self, usage: &Usage, request_type: RequestType) -> Result<Cost, Fault> {
        if usage.get(Word::CostUsd).is_some() {
            return Err(Fault::invalid(
                "usage.cost_usd",
                "is a cost already: a rate card prices what was used",
            ));
        }
        let cost = cost(self, usage, request_type);
        match cost.price.unknown {
            None => Ok(cost),
            Some(component) => Err(Fault {
                code: Code::PriceUnknown,
                message: "the usage needs this price, and the card does not have it".into(),
                param: Some(component.as_str().into()),
            }),
        }
    }
}

/// The most that a call may cost: what is stated, and so much for each token of output that may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    stated: Price,
    each: Result<FemtoUsd, Component>,
    by_default: bool,
}

/// The upper bound of a call whose stated usage is `usage` and whose output is not known yet. Output may be any that
/// its type can have (text, reasoning, sound, images): the dearest price counts.
#[must_use]
pub fn most<'a>(rates: impl Into<Rates<'a>>, usage: &Usage, request_type: RequestType) -> Most {
    let mut call = Call::new();
    call.read(usage);
    let look = rates.into().look(&call);
    let (stated, ()) = bill(&look, &call, request_type, ());
    let kinds = output_kinds(request_type);
    let found = kinds.iter().filter_map(|&kind| look.find(&[kind]));
    let dearest = found.max_by_key(|found| found.rate);
    let each = match (dearest, kinds.first()) {
        (Some(found), _) => Ok(found.rate),
        (None, Some(component)) => Err(*component),
        (None, None) => Ok(FemtoUsd::new(0)),
    };
    Most { stated, each, by_default: dearest.is_some_and(|found| found.by_default) }
}

/// As what its output tokens may be charged.
fn output_kinds(request_type: RequestType) -> &'static [Component] {
    use Component as C;
    match request_type {
        RequestType::ChatCompletion | RequestType::TextCompletion | RequestType::Responses => {
            &[C::Output, C::Reasoning, C::OutputAudio, C::OutputImageToken]
        }
        RequestType::Rerank | RequestType::Transcription => &[C::Output],
        RequestType::Speech => &[C::Output, C::OutputAudio],
        RequestType::ImageGeneration | RequestType::ImageVariation | RequestType::ImageEdit => {
            &[C::Output, C::OutputImageToken]
        }
        RequestType::Embedding | RequestType::VideoGeneration | RequestType::VideoRemix => &[],
    }
}

impl Most {
    /// With so many tokens of output.
    #[must_use]
    pub fn with_output(&self, tokens: i64) -> Price {
        let more = i128::from(tokens) * i128::from(self.each.map_or(0, FemtoUsd::get));
        let Exact { femto, millionths } = self.stated.exact;
        let unknown = self.each.err().filter(|_| tokens > 0);
        Price {
            exact: Exact { femto: femto.saturating_add(more), millionths },
            unknown: self.stated.unknown.or(unknown),
            by_default: self.stated.by_default || self.by_default && tokens > 0,
        }
    }

    /// How many tokens of output `money` pays for, by themselves.
    #[must_use]
    pub fn output_for(&self, money: NanoUsd) -> i64 {
        let each = i128::from(self.each.map_or(0, FemtoUsd::get));
        let femto = i128::from(money.get()) * i128::from(MILLION);
        femto.checked_div(each).map_or(i64::MAX, |tokens| i64::try_from(tokens).unwrap_or(i64::MAX))
    }

    /// How many tokens of output `left` pays for beside what is stated; none where it does not pay even for that.
    #[must_use]
    pub fn fits(&self, left: NanoUsd) -> Option<i64> {
        let Exact { femto, millionths } = self.stated.exact;
        let room = i128::from(left.get()) * i128::from(MILLION) - i128::from(millionths > 0);
        let room = room.checked_sub(femto).filter(|room| *room >= 0)?;
        Some(match self.each {
            Ok(rate) if rate.get() > 0 => i64::try_from(room / i128::from(rate.get())).unwrap_or(i64::MAX),
            _ => i64::MAX,
        })
    }
}
