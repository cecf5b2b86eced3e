//! The 42 fields of `PricingPatch`: a view that writes into a card.

use std::fmt;

use super::card::{RateCard, TooManyColumns};
use super::component::Cell;
use crate::units::FemtoUsd;

/// The fields, in the order of the schema. Their names say the cells, as in a price file.
pub const FIELDS: [&str; 42] = [
    "input_cost_per_token",
    "output_cost_per_token",
    "input_cost_per_token_batches",
    "output_cost_per_token_batches",
    "input_cost_per_token_priority",
    "output_cost_per_token_priority",
    "input_cost_per_character",
    "input_cost_per_token_above_128k_tokens",
    "output_cost_per_token_above_128k_tokens",
    "input_cost_per_token_above_200k_tokens",
    "output_cost_per_token_above_200k_tokens",
    "cache_creation_input_token_cost",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost_above_200k_tokens",
    "cache_read_input_token_cost_above_200k_tokens",
    "cache_read_input_token_cost_priority",
    "cache_read_input_image_token_cost",
    "cache_creation_input_audio_token_cost",
    "input_cost_per_image",
    "output_cost_per_image",
    "input_cost_per_pixel",
    "output_cost_per_pixel",
    "input_cost_per_image_token",
    "output_cost_per_image_token",
    "output_cost_per_image_low_quality",
    "output_cost_per_image_medium_quality",
    "output_cost_per_image_high_quality",
    "output_cost_per_image_auto_quality",
    "output_cost_per_image_premium_image",
    "output_cost_per_image_above_512_and_512_pixels",
    "output_cost_per_image_above_1024_and_1024_pixels",
    "output_cost_per_image_above_2048_and_2048_pixels",
    "output_cost_per_image_above_4096_and_4096_pixels",
    "input_cost_per_audio_token",
    "output_cost_per_audio_token",
    "input_cost_per_audio_per_second",
    "input_cost_per_second",
    "input_cost_per_video_per_second",
    "output_cost_per_video_per_second",
    "output_cost_per_second",
    "search_context_cost_per_query",
    "code_interpreter_cost_per_session",
];

/// Prices that take the place of a card's own. A price of zero takes no place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PricingPatch(Vec<(&'static str, FemtoUsd)>);

/// Not one of [`FIELDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownField;

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a field of a pricing patch")
    }
}

impl PricingPatch {
    /// Give one field.
    ///
    /// # Errors
    /// [`UnknownField`].
    pub fn set(&mut self, field: &str, rate: FemtoUsd) -> Result<(), UnknownField> {
        let known = FIELDS.iter().find(|known| **known == field).ok_or(UnknownField)?;
        self.0.retain(|(given, _)| given != known);
        self.0.push((known, rate));
        Ok(())
    }

    /// The fields given, in the order in which they were.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, FemtoUsd)> {
        self.0.iter().copied()
    }

    /// Its prices by themselves.
    ///
    /// # Errors
    /// [`TooManyColumns`], which no patch has: its fields know few thresholds.
    pub fn card(&self) -> Result<RateCard, TooManyColumns> {
        RateCard::new(self.prices())
    }

    /// What it writes.
    fn prices(&self) -> impl Iterator<Item = (Cell, FemtoUsd)> {
        let applied = self.fields().filter(|(_, rate)| *rate != FemtoUsd::new(0));
        applied.flat_map(|(field, rate)| {
            Cell::of_field(field).into_iter().flatten().map(move |cell| (cell, rate))
        })
    }
}

impl RateCard {
    /// This card under a patch.
    ///
    /// # Errors
    /// [`TooManyColumns`].
    pub fn patched(&self, patch: &PricingPatch) -> Result<RateCard, TooManyColumns> {
        self.with(patch.prices())
    }
}
