//! What of money a request asks of budgets: an amount that is stated, or a price of what it may use.

use super::cost::Most;
use crate::answer::PriceSource;
use crate::units::NanoUsd;

/// What a call may cost, before it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quote {
    money: Money,
    /// Where it comes from; None where no budget asks.
    pub(crate) source: Option<PriceSource>,
}

#[derive(Clone, Copy, Debug)]
enum Money {
    Stated(NanoUsd),
    Priced(Most),
}

impl Quote {
    /// For nobody who asks.
    pub(crate) const NONE: Quote = Quote { money: Money::Stated(NanoUsd::new(0)), source: None };

    /// Where nothing is known, and that counts as zero.
    pub(crate) const ZERO: Quote =
        Quote { money: Money::Stated(NanoUsd::new(0)), source: Some(PriceSource::Zero) };

    pub(crate) fn stated(cost: NanoUsd) -> Quote {
        Quote { money: Money::Stated(cost), source: Some(PriceSource::Stated) }
    }

    pub(crate) fn priced(most: Most, source: PriceSource) -> Quote {
        Quote { money: Money::Priced(most), source: Some(source) }
    }

    /// Whether output that nobody has seen yet costs anything.
    #[inline(always)]
    pub(crate) fn is_priced(&self) -> bool {
        matches!(self.money, Money::Priced(_))
    }

    /// With so many tokens of output.
    #[inline(always)]
    pub(crate) fn nano(&self, output: i64) -> i64 {
        match &self.money {
            Money::Stated(cost) => cost.get(),
            Money::Priced(most) => most.with_output(output).exact.round_up().get(),
        }
    }

    /// As many of `output` tokens as `left` pays for beside what is stated, and as cost no more than a `share` by themselves
    /// (nano-dollars, both).
    #[inline(always)]
    pub(crate) fn cut(&self, output: i64, left: i64, share: Option<i64>) -> i64 {
        let Money::Priced(most) = &self.money else { return output };
        let most_of_share = share.map_or(i64::MAX, |share| most.output_for(NanoUsd::new(share)));
        let output = output.min(most_of_share);
        // Nearly everything fits, and a product is cheaper than a quotient.
        if self.nano(output) <= left {
            output
        } else {
            output.min(most.fits(NanoUsd::new(left)).unwrap_or(0))
        }
    }
}
