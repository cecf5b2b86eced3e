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

/// Nobody could serve: what the first target that limits refuse says; where limits refuse none, what says most about
/// why.
pub(super) fn denial_by(excluded: Vec<Exclusion>, fits: Option<i64>) -> Denial {
    const TELLING: [Reason; 6] = [
        Reason::Limits,
        Reason::PriceUnknown,
        Reason::NoKey,
        Reason::NoWeight,
        Reason::ModelBlocked,
        Reason::ProviderBlocked,
    ];
    let first =
        TELLING.iter().find_map(|reason| excluded.iter().find(|exclusion| exclusion.reason == *reason));
    let Some(first) = first else { return Denial::new(Code::ProviderBlocked) };
    let code = if first.reason == Reason::Limits { code_of(&first.limits) } else { first.reason.code() };
    // The first target to have room again serves.
    let limited = excluded.iter().filter(|target| target.reason == Reason::Limits);
    let wait_ms = limited.filter_map(|target| longest_wait(&target.limits)).min();
    let limits = first.limits.clone();
    Denial { code, limits, fits, excluded, wait_ms }
}
