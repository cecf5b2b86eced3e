//! Prices: the table is made anew, once for a batch, where any edit of the batch is about prices.

use std::sync::Arc;

use super::Draft;
use crate::policy::prices::{InForce, Over};
use crate::pricing::{Catalogue, OverrideRow, Overrides};
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
        Arc::make_mut(&mut self.policy.prices).known.insert(over.number, over.over.clone());
        let old = self.editor.overrides.insert(row.id.clone(), over);
        self.former.extend(old.map(|old| Former::Override(old.number)));
        self.reprice = true;
    }

    pub(super) fn delete_override(&mut self, id: &str) {
        let old = self.editor.overrides.remove(id);
        self.former.extend(old.map(|old| Former::Override(old.number)));
        self.reprice = true;
    }

    /// Prices that permits of another process settle by, until an instant: their numbers, by which permits name them.
    pub(crate) fn former_prices(&mut self, prices: Vec<Over>, until: Millis) -> Vec<u32> {
        let known = &mut Arc::make_mut(&mut self.policy.prices).known;
        let numbers = prices.into_iter().map(|over| {
            let number = self.editor.next_override;
            self.editor.next_override += 1;
            self.editor.former.push_back((until, Former::Override(number)));
            known.insert(number, Arc::new(over));
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
        prices.overrides = Arc::new(Overrides::new(editor.overrides.values().cloned().collect()));
        while let Some((_, former)) = editor.former.pop_front_if(|(until, _)| *until <= now) {
            match former {
                Former::Override(number) => _ = prices.known.remove(&number),
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
