// The conformance program in Go: what sdk/README.md says, over the generated stubs.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	accountv1 "venue.local/sdk/gen/venue/account/v1"
	authv1 "venue.local/sdk/gen/venue/auth/v1"
	orderv1 "venue.local/sdk/gen/venue/order/v1"
	typev1 "venue.local/sdk/gen/venue/type/v1"
)

// Found is what the program prints.
type Found struct {
	Statuses []string `json:"statuses"`
	Price    string   `json:"price"`
	Quantity string   `json:"quantity"`
	Held     string   `json:"held"`
	Replayed bool     `json:"replayed"`
	Streamed []string `json:"streamed"`
	Reason   string   `json:"reason"`
	Fields   []string `json:"fields"`
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func name(status orderv1.OrderStatus) string {
	return strings.TrimPrefix(status.String(), "ORDER_STATUS_")
}

// demoAccount is the id of the oldest demo account; one is opened where there is none.
func demoAccount(ctx context.Context, accounts accountv1.AccountServiceClient) string {
	for _, each := range must(accounts.ListAccounts(ctx, &accountv1.ListAccountsRequest{PageSize: 500})).Accounts {
		if each.Type == accountv1.AccountType_ACCOUNT_TYPE_DEMO {
			return each.AccountId
		}
	}
	asked := &accountv1.CreateAccountRequest{Type: accountv1.AccountType_ACCOUNT_TYPE_DEMO, Name: "Demo"}
	return must(accounts.CreateAccount(ctx, asked)).Account.AccountId
}

// listen waits for the stream to begin; what it then says of orders comes on the channel, up to the cancel.
func listen(ctx context.Context, orders orderv1.OrderServiceClient, accountID string) <-chan []string {
	stream := must(orders.StreamOrders(ctx, &orderv1.StreamOrdersRequest{AccountId: accountID}))
	for must(stream.Recv()).GetSnapshot() == nil {
	}
	told := make(chan []string, 1)
	go func() {
		var found []string
		for {
			for _, update := range must(stream.Recv()).GetEvent().GetUpdates() {
				found = append(found, name(update.Order.Status))
				if update.Order.Status == orderv1.OrderStatus_ORDER_STATUS_CANCELLED {
					told <- found
					return
				}
			}
		}
	}()
	return told
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	channel := must(grpc.NewClient(os.Getenv("VENUE_TARGET"), grpc.WithTransportCredentials(insecure.NewCredentials())))
	defer channel.Close()
	login := must(authv1.NewAuthServiceClient(channel).Login(ctx, &authv1.LoginRequest{
		Email: os.Getenv("VENUE_EMAIL"), Password: os.Getenv("VENUE_PASSWORD"),
	}))
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+login.AccessToken)
	accounts, orders := accountv1.NewAccountServiceClient(channel), orderv1.NewOrderServiceClient(channel)
	accountID := demoAccount(ctx, accounts)
	told := listen(ctx, orders, accountID)

	request := &orderv1.PlaceOrderRequest{
		AccountId: accountID, Symbol: "ETH-USD", Side: typev1.Side_SIDE_BUY,
		Type: orderv1.OrderType_ORDER_TYPE_LIMIT, TimeInForce: orderv1.TimeInForce_TIME_IN_FORCE_GTC,
		Quantity: "0.50", Price: "2.50", RequestId: os.Getenv("VENUE_REQUEST_ID"),
	}
	placed := must(orders.PlaceOrder(ctx, request))
	order := placed.Order
	found := Found{Price: order.Price, Quantity: order.Quantity}
	balances := must(accounts.ListBalances(ctx, &accountv1.ListBalancesRequest{AccountId: accountID, MinPosition: placed.Position}))
	for _, each := range balances.Balances {
		if each.Asset == "USD" {
			found.Held = each.Held
		}
	}
	again := must(orders.PlaceOrder(ctx, request))
	found.Replayed = again.Replayed && again.Order.OrderId == order.OrderId
	cancelled := must(orders.CancelOrder(ctx, &orderv1.CancelOrderRequest{OrderId: order.OrderId}))
	found.Statuses = []string{name(order.Status), name(cancelled.Order.Status)}
	found.Streamed = <-told

	request.RequestId, request.ClientOrderId = "", "no spaces"
	_, refused := orders.PlaceOrder(ctx, request)
	for _, detail := range status.Convert(refused).Details() {
		switch said := detail.(type) {
		case *errdetails.ErrorInfo:
			found.Reason = said.Reason
		case *errdetails.BadRequest:
			for _, each := range said.FieldViolations {
				found.Fields = append(found.Fields, each.Field)
			}
		}
	}
	fmt.Println(string(must(json.Marshal(found))))
}
