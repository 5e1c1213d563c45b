// A request as a caller writes it, there and back: that this compiles and links says that the contract does.
#include <iostream>

#include "venue/order/v1/order_service.grpc.pb.h"

int main() {
  venue::order::v1::PlaceOrderRequest asked;
  asked.set_symbol("ETH-USD");
  asked.set_side(venue::type::v1::SIDE_BUY);
  asked.set_type(venue::order::v1::ORDER_TYPE_LIMIT);
  asked.set_quantity("0.50");
  venue::order::v1::PlaceOrderRequest read;
  if (!read.ParseFromString(asked.SerializeAsString()) || read.quantity() != "0.50") return 1;
  std::cout << venue::order::v1::OrderService::service_full_name() << std::endl;
  return 0;
}
