// The conformance program in Java: what sdk/README.md says, over the generated stubs.
package venue.sdk;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import venue.account.v1.AccountServiceGrpc;
import venue.account.v1.AccountType;
import venue.account.v1.Balance;
import venue.account.v1.CreateAccountRequest;
import venue.account.v1.ListAccountsRequest;
import venue.account.v1.ListBalancesRequest;
import venue.auth.v1.AuthServiceGrpc;
import venue.auth.v1.LoginRequest;
import venue.order.v1.CancelOrderRequest;
import venue.order.v1.Order;
import venue.order.v1.OrderServiceGrpc;
import venue.order.v1.OrderStatus;
import venue.order.v1.OrderType;
import venue.order.v1.OrderUpdate;
import venue.order.v1.PlaceOrderRequest;
import venue.order.v1.PlaceOrderResponse;
import venue.order.v1.StreamOrdersRequest;
import venue.order.v1.StreamOrdersResponse;
import venue.order.v1.TimeInForce;
import venue.type.v1.Side;

/** Logs in, places, streams, cancels; prints what it saw. */
public final class Conformance {
  private Conformance() {}

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel = NettyChannelBuilder.forTarget(System.getenv("VENUE_TARGET")).usePlaintext().build();
    try {
      System.out.println(found(channel));
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  private static String found(ManagedChannel channel) throws Exception {
    LoginRequest login = LoginRequest.newBuilder()
        .setEmail(System.getenv("VENUE_EMAIL")).setPassword(System.getenv("VENUE_PASSWORD")).build();
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
        "Bearer " + AuthServiceGrpc.newBlockingStub(channel).login(login).getAccessToken());
    var credential = MetadataUtils.newAttachHeadersInterceptor(headers);
    var accounts = AccountServiceGrpc.newBlockingStub(channel).withInterceptors(credential);
    var orders = OrderServiceGrpc.newBlockingStub(channel).withInterceptors(credential);
    String accountId = demoAccount(accounts);
    CompletableFuture<List<String>> streamed = listening(orders, accountId);

    PlaceOrderRequest request = PlaceOrderRequest.newBuilder().setAccountId(accountId).setSymbol("ETH-USD")
        .setSide(Side.SIDE_BUY).setType(OrderType.ORDER_TYPE_LIMIT).setTimeInForce(TimeInForce.TIME_IN_FORCE_GTC)
        .setQuantity("0.50").setPrice("2.50").setRequestId(System.getenv("VENUE_REQUEST_ID")).build();
    PlaceOrderResponse placed = orders.placeOrder(request);
    Order order = placed.getOrder();
    String held = accounts.listBalances(ListBalancesRequest.newBuilder()
            .setAccountId(accountId).setMinPosition(placed.getPosition()).build())
        .getBalancesList().stream().filter(each -> each.getAsset().equals("USD")).map(Balance::getHeld).findFirst().orElse("");
    PlaceOrderResponse again = orders.placeOrder(request);
    boolean replayed = again.getReplayed() && again.getOrder().getOrderId().equals(order.getOrderId());
    Order cancelled = orders.cancelOrder(CancelOrderRequest.newBuilder().setOrderId(order.getOrderId()).build()).getOrder();
    List<String> statuses = List.of(name(order.getStatus()), name(cancelled.getStatus()));
    return "{\"statuses\": " + list(statuses) + ", \"price\": \"" + order.getPrice() + "\", \"quantity\": \""
        + order.getQuantity() + "\", \"held\": \"" + held + "\", \"replayed\": " + replayed + ", \"streamed\": "
        + list(streamed.get(30, TimeUnit.SECONDS)) + ", "
        + refusal(orders, request.toBuilder().clearRequestId().setClientOrderId("no spaces").build()) + "}";
  }

  /** The oldest demo account's id; one is opened where there is none. */
  private static String demoAccount(AccountServiceGrpc.AccountServiceBlockingStub accounts) {
    return accounts.listAccounts(ListAccountsRequest.newBuilder().setPageSize(500).build()).getAccountsList().stream()
        .filter(each -> each.getType() == AccountType.ACCOUNT_TYPE_DEMO).map(each -> each.getAccountId()).findFirst()
        .orElseGet(() -> accounts.createAccount(CreateAccountRequest.newBuilder()
            .setType(AccountType.ACCOUNT_TYPE_DEMO).setName("Demo").build()).getAccount().getAccountId());
  }

  /** What the stream of the account says of orders up to the cancel; returns once it has begun. */
  private static CompletableFuture<List<String>> listening(
      OrderServiceGrpc.OrderServiceBlockingStub orders, String accountId) {
    Iterator<StreamOrdersResponse> frames =
        orders.streamOrders(StreamOrdersRequest.newBuilder().setAccountId(accountId).build());
    while (!frames.next().hasSnapshot()) { }
    return CompletableFuture.supplyAsync(() -> {
      List<String> told = new ArrayList<>();
      while (!told.contains("CANCELLED")) {
        for (OrderUpdate update : frames.next().getEvent().getUpdatesList()) told.add(name(update.getOrder().getStatus()));
      }
      return told;
    });
  }

  private static String refusal(OrderServiceGrpc.OrderServiceBlockingStub orders, PlaceOrderRequest request)
      throws InvalidProtocolBufferException {
    String reason = "";
    List<String> fields = new ArrayList<>();
    try {
      orders.placeOrder(request);
    } catch (StatusRuntimeException refused) {
      for (var detail : StatusProto.fromThrowable(refused).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) reason = detail.unpack(ErrorInfo.class).getReason();
        if (detail.is(BadRequest.class)) {
          detail.unpack(BadRequest.class).getFieldViolationsList().forEach(each -> fields.add(each.getField()));
        }
      }
    }
    return "\"reason\": \"" + reason + "\", \"fields\": " + list(fields);
  }

  private static String name(OrderStatus status) {
    return status.name().replaceFirst("ORDER_STATUS_", "");
  }

  private static String list(List<String> texts) {
    return texts.stream().map(text -> "\"" + text + "\"").collect(Collectors.joining(", ", "[", "]"));
  }
}
