//! The contract of the venue: `venue_sdk::venue::order::v1::order_service_client::OrderServiceClient` and all the others.
#![allow(clippy::all)]

include!(concat!(env!("OUT_DIR"), "/venue.rs"));

/// A request as a caller writes it: that this compiles says that names and types are as the contract has them.
pub fn limit_order(account_id: &str, symbol: &str, quantity: &str, price: &str) -> venue::order::v1::PlaceOrderRequest {
    use venue::order::v1::{OrderType, TimeInForce};
    venue::order::v1::PlaceOrderRequest {
        account_id: account_id.into(),
        symbol: symbol.into(),
        side: venue::r#type::v1::Side::Buy as i32,
        r#type: OrderType::Limit as i32,
        time_in_force: TimeInForce::Gtc as i32,
        quantity: quantity.into(),
        price: price.into(),
        ..Default::default()
    }
}
