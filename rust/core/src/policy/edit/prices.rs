//! Prices: of the overrides those places are made anew, once for a batch, that an edit of the batch is about.

use std::sync::Arc;

use super::Draft;
use crate::policy::prices::{InForce, Numbered, Over};
use crate::pricing::{Catalogue, OverrideRow};
use crate::units::Millis;

/// Prices that have left force, by their numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Former {
    Catalogue(u32),
    Override(u32),
}

impl Draft<'_> {
    pub(super) fn catalogue(&mut self, catalogue: &Arc<Catalogue>) {
        let prices = Arc::make_mut(&mut self.policy.prices);
        if let Some((old, last)) = prices.catalogues.last() {
            if Arc::ptr_eq(last, catalogue) {
                return;
            }
            self.former.push(Former::Catalogue(*old));
        }
        self.editor.next_catalogue += 1;
        prices.catalogues.push((self.editor.next_catalogue, catalogue.clone()));
        self.reprice = true;
    }

    pub(super) fn price_override(&mut self, row: &OverrideRow) {
        let over = Arc::new(InForce::new(row.clone(), self.editor.next_override));
        self.editor.next_override += 1;
        self.make_known(over.number, over.over.clone());
        let old = self.editor.overrides.insert(row.id.clone(), over);
        self.replaced(&row.id, old);
    }

    /// By this number permits may settle.
    fn make_known(&mut self, number: u32, over: Arc<Over>) {
        let known = &mut Arc::make_mut(&mut self.policy.prices).known;
        known.insert(Numbered(number, over), |other| other.0 == number);
    }

    /// Another override has this id now, or none. The first of a batch is the one that is in force.
    fn replaced(&mut self, id: &str, old: Option<Arc<InForce>>) {
        self.former.extend(old.as_ref().map(|old| Former::Override(old.number)));
        self.overrides.entry(id.into()).or_insert(old);
        self.reprice = true;
    }

    pub(super) fn delete_override(&mut self, id: &str) {
        let old = self.editor.overrides.remove(id);
        self.replaced(id, old);
    }

    /// Prices that permits of another process settle by, until an instant: their numbers, by which permits name them.
    pub(crate) fn former_prices(&mut self, prices: Vec<Over>, until: Millis) -> Vec<u32> {
        let numbers = prices.into_iter().map(|over| {
            let number = self.editor.next_override;
            self.editor.next_override += 1;
            self.editor.former.push_back((until, Former::Override(number)));
            self.make_known(number, Arc::new(over));
            number
        });
        numbers.collect()
    }

    /// Put the new prices in force. What left it stays known until no permit of before can be settled any more.
    pub(super) fn reprice(&mut self, until: Millis) {
        if !self.reprice {
            return;
        }
        let prices = Arc::make_mut(&mut self.policy.prices);
        let (editor, now) = (&mut *self.editor, self.now);
        prices.generation += 1;
        let new = self.overrides.keys().filter_map(|id| editor.overrides.get(id).cloned()).collect();
        let gone: Vec<Arc<InForce>> = self.overrides.drain().filter_map(|(_, old)| old).collect();
        prices.overrides = prices.overrides.with(&gone, new);
        while let Some((_, former)) = editor.former.pop_front_if(|(until, _)| *until <= now) {
            match former {
                Former::Override(number) => {
                    prices.known.remove(u64::from(number), |other| other.0 == number);
                }
                Former::Catalogue(number) => prices.catalogues.retain(|(known, _)| *known != number),
            }
        }
        editor.former.extend(self.former.drain(..).map(|former| (until, former)));
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use crate::engine::Engine;
    use crate::policy::Settings;
    use crate::policy::credentials::Seeds;
    use crate::policy::edit::{Edit, Entity};
    use crate::pricing::{Effect, OverrideRow, Pattern, Scope};
    use crate::request::RequestType;
    use crate::units::Millis;

    #[test]
    fn prices_that_no_permit_can_be_settled_by_any_more_are_let_go_of() {
        let engine = Engine::new(Settings { permit_ttl_ms: 100, ..Settings::default() }, Seeds::new(1, 2));
        let known = || engine.view().0.prices.known.len();
        let row = OverrideRow {
            id: "o".into(),
            created_at: Millis::new(0),
            scope: Scope::Global,
            virtual_key: None,
            provider: None,
            provider_key: None,
            pattern: Pattern::Prefix("".into()),
            request_types: vec![RequestType::ChatCompletion],
            effect: Effect::Free,
        };
        for now in 0..1_000 {
            let edit = Edit::PricingOverride(Box::new(row.clone()));
            engine.apply(&[edit], Millis::new(now)).expect("a good edit");
            // Two times to live of one edit a millisecond, and the one in force.
            assert!(known() <= 202, "{} at {now}", known());
        }
        assert!(known() > 200);
        let delete = Edit::Delete { entity: Entity::PricingOverride, id: "o".into() };
        engine.apply(&[delete], Millis::new(5_000)).expect("a good edit");
        assert_eq!(known(), 1);
    }
}
