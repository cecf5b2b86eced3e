//! What becomes of a permit: settled, updated, released, expired, forgotten.

use limen_core::answer::Settlement;
use limen_core::error::Code;
use limen_core::policy::Kind;

use super::counter::Counter;
use super::decision::{Allowed, Violation};
use super::{Ask, Model, Number};

/// Nothing the model says about: the answer's price is compared by nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub nano: i64,
    pub tokens: i64,
    pub overrun: bool,
    pub repeated: bool,
    pub expired: bool,
}

impl From<Settlement> for Settled {
    fn from(answer: Settlement) -> Settled {
        Settled {
            nano: answer.cost_nano_usd,
            tokens: answer.tokens,
            overrun: answer.overrun,
            repeated: answer.repeated,
            expired: answer.expired,
        }
    }
}

/// What was used as far as it was said; `None` beside a settle is "as held".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    pub tokens: Option<i64>,
    pub nano: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Expired,
    Settled(Option<Said>, Settled),
    Released { request: bool },
}

#[derive(Clone, Debug)]
struct Hold {
    counter: Number,
    entry: usize,
    /// Held in the entry's window, and charged elsewhere after that had rolled.
    amount: i64,
    elsewhere: i64,
}

#[derive(Clone, Debug)]
pub struct Permit {
    pub ask: Ask,
    pub given: Allowed,
    state: State,
    closed_at: i64,
    tokens: i64,
    nano: i64,
    told: (i64, i64),
    holds: Vec<Hold>,
    forgotten: bool,
}

impl Permit {
    fn amount(&self, kind: Kind) -> i64 {
        match kind {
            Kind::Tokens => self.tokens,
            Kind::Requests => 1,
            Kind::Budget => self.nano,
        }
    }
}

impl Model {
    /// Make the permit that was decided on; its number.
    pub fn open(&mut self, ask: &Ask, given: Allowed, now: i64) -> usize {
        let mut permit = Permit {
            ask: ask.clone(),
            state: State::Open,
            closed_at: 0,
            tokens: given.tokens,
            nano: given.nano,
            told: (0, 0),
            holds: Vec::new(),
            forgotten: false,
            given,
        };
        for number in permit.given.chain.clone() {
            let counter = &mut self.counters[number];
            let amount = permit.amount(counter.kind);
            let entry = match counter.kind {
                Kind::Requests => counter.add(now, 1, 0),
                _ => counter.add(now, 0, amount),
            };
            permit.holds.push(Hold { counter: number, entry, amount, elsewhere: 0 });
        }
        self.permits.push(permit);
        self.permits.len() - 1
    }

    /// What is past its time expires; what is closed is forgotten one time to live later.
    pub fn pass_time(&mut self, now: i64) {
        for permit in &mut self.permits {
            if permit.state == State::Open && permit.given.expires_at <= now {
                permit.state = State::Expired;
                permit.closed_at = permit.given.expires_at;
                for hold in &permit.holds {
                    let counter = &mut self.counters[hold.counter];
                    if counter.kind != Kind::Requests {
                        let charged = if self.settings.give_back_on_expiry { 0 } else { hold.amount };
                        counter.set(hold.entry, charged, 0);
                    }
                }
            }
            let closed = permit.state != State::Open;
            permit.forgotten |= closed && permit.closed_at + self.settings.permit_ttl_ms <= now;
        }
    }

    /// What open permits will give back to a counter: the entry, and when.
    pub fn ending(&self, counter: Number) -> Vec<(usize, i64)> {
        let gives_back = self.settings.give_back_on_expiry && self.counters[counter].kind != Kind::Requests;
        let open = self.permits.iter().filter(|permit| gives_back && permit.state == State::Open);
        let holds = open.flat_map(|permit| permit.holds.iter().map(|hold| (hold, permit.given.expires_at)));
        holds.filter(|(hold, _)| hold.counter == counter).map(|(hold, end)| (hold.entry, end)).collect()
    }

    /// The first instant at which an open permit expires.
    pub fn next_expiry(&self) -> Option<i64> {
        let open = self.permits.iter().filter(|permit| permit.state == State::Open);
        open.map(|permit| permit.given.expires_at).min()
    }

    /// A process has ended that alone knew this permit: what it held is gone, what it used is not.
    pub fn lose(&mut self, place: usize) {
        let permit = &mut self.permits[place];
        if permit.state == State::Open {
            permit.state = State::Released { request: false };
            for hold in &permit.holds {
                let counter = &mut self.counters[hold.counter];
                if counter.kind != Kind::Requests {
                    counter.set(hold.entry, 0, 0);
                }
            }
        }
        (permit.forgotten, permit.closed_at) = (true, i64::MIN / 2);
    }

    /// Whether a permit may still be corrected.
    pub fn is_correctable(&self, place: usize) -> bool {
        matches!(self.permits[place].state, State::Open | State::Expired)
    }

    /// Whether nobody can say if this permit is still known: it was forgotten once, and the clock was set back since.
    pub fn is_unsure(&self, place: usize, now: i64) -> bool {
        let permit = &self.permits[place];
        permit.forgotten && now < permit.closed_at + self.settings.permit_ttl_ms
    }

    /// The ids of a key end with it.
    pub fn end_ids(&mut self, key: &str) {
        for permit in self.permits.iter_mut().filter(|permit| permit.ask.key.as_deref() == Some(key)) {
            permit.ask.id = None;
        }
    }

    /// The permit that has this key's id: itself if it is open and for the same request.
    pub fn by_id(&self, ask: &Ask) -> Option<Result<usize, Code>> {
        let place = self
            .permits
            .iter()
            .position(|permit| !permit.forgotten && permit.ask.id == ask.id && permit.ask.key == ask.key)?;
        let permit = &self.permits[place];
        Some(if permit.state == State::Open && permit.ask.is_same(ask) {
            Ok(place)
        } else {
            Err(Code::IdConflict)
        })
    }

    fn find(&mut self, place: usize, now: i64) -> Result<(), Code> {
        self.pass_time(now);
        if self.permits[place].forgotten { Err(Code::PermitNotFound) } else { Ok(()) }
    }

    pub fn settle(&mut self, place: usize, said: Option<Said>, now: i64) -> Result<Settled, Code> {
        self.find(place, now)?;
        let permit = &mut self.permits[place];
        match permit.state {
            State::Released { .. } => return Err(Code::PermitClosed),
            State::Settled(before, answer) if before == said => {
                return Ok(Settled { repeated: true, ..answer });
            }
            State::Settled(..) => return Err(Code::SettleConflict),
            State::Open | State::Expired => {}
        }
        let tokens = said.map_or(permit.tokens, |said| said.tokens.unwrap_or(0));
        let nano = said.and_then(|said| said.nano).unwrap_or(permit.nano);
        let given_back = permit.state == State::Expired && self.settings.give_back_on_expiry;
        let mut overrun = false;
        for hold in &permit.holds {
            let counter = &mut self.counters[hold.counter];
            let (real, held) = match counter.kind {
                Kind::Tokens => (tokens, permit.tokens),
                Kind::Requests => continue,
                Kind::Budget => (nano, permit.nano),
            };
            overrun |= real > held;
            charge(counter, hold, real, given_back, now);
        }
        let expired = permit.state == State::Expired;
        let answer = Settled { nano, tokens, overrun, repeated: false, expired };
        (permit.state, permit.closed_at) = (State::Settled(said, answer), now);
        Ok(answer)
    }

    pub fn update(&mut self, place: usize, said: Said, now: i64) -> Result<Vec<Violation>, Code> {
        self.find(place, now)?;
        let permit = &mut self.permits[place];
        if permit.state != State::Open {
            return Err(Code::PermitClosed);
        }
        let told = (said.tokens.unwrap_or(permit.told.0), said.nano.unwrap_or(permit.told.1));
        if told.0 < permit.told.0 || told.1 < permit.told.1 {
            return Err(Code::InvalidRequest);
        }
        permit.told = told;
        for (kind, total) in [(Kind::Tokens, told.0), (Kind::Budget, told.1)] {
            let growth = total - permit.amount(kind);
            let mut any = false;
            for hold in &mut permit.holds {
                let counter = &mut self.counters[hold.counter];
                if counter.kind != kind || growth <= 0 {
                    continue;
                }
                any = true;
                if counter.still_counts(hold.entry, now) {
                    counter.hold_more(hold.entry, growth);
                    hold.amount += growth;
                } else {
                    counter.add(now, growth, 0);
                    hold.elsewhere += growth;
                }
            }
            match kind {
                Kind::Tokens if any => permit.tokens = total,
                Kind::Budget if any => permit.nano = total,
                _ => {}
            }
        }
        let over = self.permits[place].holds.iter().map(|hold| hold.counter);
        let over: Vec<Number> = over
            .filter(|number| {
                self.exists(*number) && self.counters[*number].total(now) > self.counters[*number].limit
            })
            .collect();
        Ok(over.into_iter().map(|number| Violation::of(&self.counters[number], 0, now, &[])).collect())
    }

    pub fn release(&mut self, place: usize, request: bool, now: i64) -> Result<(), Code> {
        self.find(place, now)?;
        let permit = &mut self.permits[place];
        match permit.state {
            State::Released { request: before } if before == request => return Ok(()),
            State::Released { .. } | State::Settled(..) => return Err(Code::PermitClosed),
            State::Open | State::Expired => {}
        }
        for hold in &permit.holds {
            let counter = &mut self.counters[hold.counter];
            if counter.kind != Kind::Requests || request {
                counter.set(hold.entry, 0, 0);
            }
        }
        (permit.state, permit.closed_at) = (State::Released { request }, now);
        Ok(())
    }
}

/// What was held becomes what was used, in its own window; what is more than that goes where the time is.
/// What was given back is not charged to a window that has passed.
fn charge(counter: &mut Counter, hold: &Hold, real: i64, given_back: bool, now: i64) {
    let counts = counter.still_counts(hold.entry, now);
    let own = (real - hold.elsewhere).max(0);
    let used = match (counts, given_back) {
        (true, _) => own,
        (false, true) => 0,
        (false, false) => own.min(hold.amount),
    };
    counter.set(hold.entry, used, 0);
    let late = real - hold.elsewhere - hold.amount;
    if !counts && late > 0 {
        counter.add(now, late, 0);
    }
}
