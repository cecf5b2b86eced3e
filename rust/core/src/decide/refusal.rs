//! What a refusal says where targets were left out.

use std::sync::Arc;

use crate::answer::{Denial, Exclusion, Reason, code_of, longest_wait};
use crate::error::Code;
use crate::routing::target::Target;

pub(super) fn exclusion(target: &Target<'_>, key_id: Option<Arc<str>>, reason: Reason) -> Exclusion {
    Exclusion {
        provider: Arc::from(target.name),
        model: target.model.into(),
        key_id,
        reason,
        limits: Vec::new(),
    }
}

/// Targets that were tried and could not serve.
#[derive(Default)]
pub(super) struct LeftOut {
    /// In the order in which they were tried.
    pub(super) excluded: Vec<Exclusion>,
    /// Output tokens that would fit at the first of them that said so.
    fits: Option<i64>,
}

impl LeftOut {
    pub(super) fn add(&mut self, (exclusion, fits): (Exclusion, Option<i64>)) {
        self.excluded.push(exclusion);
        self.fits = self.fits.or(fits);
    }
}

/// Nobody could serve: what the first of `of` that limits refuse says; where limits refuse none of them, what says most
/// about why.
pub(super) fn denial_by(left_out: LeftOut, of: usize) -> Denial {
    const TELLING: [Reason; 6] = [
        Reason::Limits,
        Reason::PriceUnknown,
        Reason::NoKey,
        Reason::NoWeight,
        Reason::ModelBlocked,
        Reason::ProviderBlocked,
    ];
    let LeftOut { excluded, fits } = left_out;
    let told = &excluded[..of.min(excluded.len())];
    let first = TELLING.iter().find_map(|reason| told.iter().find(|exclusion| exclusion.reason == *reason));
    let (code, limits) = match first {
        None => (Code::ProviderBlocked, Vec::new()),
        Some(first) if first.reason == Reason::Limits => (code_of(&first.limits), first.limits.clone()),
        Some(first) => (first.reason.code(), Vec::new()),
    };
    // The first target to have room again serves.
    let limited = excluded.iter().filter(|target| target.reason == Reason::Limits);
    let wait_ms = limited.filter_map(|target| longest_wait(&target.limits)).min();
    Denial { code, limits, fits, excluded, wait_ms }
}
