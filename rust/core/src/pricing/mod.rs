//! What a call costs, exactly: prices as integers of femto-dollars, quantities as integers, one rounding.
//!
//! A card ([`RateCard`]) has the prices of a model, named as price files name them. A call is priced from its usage
//! words; of every quantity the most particular price counts: above the highest threshold that the prompt exceeds,
//! of its kind of call (batch, priority, flex), else the next.
//!
//! 250,000 tokens of prompt and 1,000 of completion, at $3 and $15 a million, above 200k at $6 and $22.50:
//!
//! ```
//! use limen_core::pricing::{Cell, RateCard, cost};
//! use limen_core::request::RequestType;
//! use limen_core::units::FemtoUsd;
//! use limen_core::usage::{Usage, Word};
//!
//! let prices = [
//!     ("input_cost_per_token", 3_000_000_000),
//!     ("output_cost_per_token", 15_000_000_000),
//!     ("input_cost_per_token_above_200k_tokens", 6_000_000_000),
//!     ("output_cost_per_token_above_200k_tokens", 22_500_000_000),
//! ];
//! let cells = prices.iter().flat_map(|(field, femto)| {
//!     Cell::of_field(field).into_iter().flatten().map(|cell| (cell, FemtoUsd::new(*femto)))
//! });
//! let card = RateCard::new(cells).expect("two columns");
//! let mut usage = Usage::default();
//! usage.set(Word::PromptTokens, 250_000).expect("not negative");
//! usage.set(Word::CompletionTokens, 1_000).expect("not negative");
//! let cost = cost(&card, &usage, RequestType::ChatCompletion);
//! assert_eq!(cost.price.exact.to_string(), "1.5225");
//! assert_eq!(cost.price.exact.round_up().get(), 1_522_500_000);
//! assert_eq!(cost.tier(), "above_200k_tokens");
//! ```

mod call;
mod card;
mod catalogue;
mod component;
mod cost;
mod media;
mod overrides;
mod patch;
mod quote;
mod rates;
mod text;

pub use card::{MAX_COLUMNS, RateCard, TooManyColumns};
pub use catalogue::{BaseRow, Catalogue, FoundBy};
pub use component::{ANY_PROMPT, Cell, Component, Variant, is_about_prices, type_of_mode};
pub use cost::{Cost, Exact, Line, Most, Price, cost, most, price};
pub use overrides::{Effect, Ids, OverrideRow, Overrides, Pattern, Scope};
pub use patch::{FIELDS, PricingPatch, UnknownField};
pub(crate) use quote::Quote;
pub use rates::Rates;
