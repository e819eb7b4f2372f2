package rpc_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/sojourn-go/sojourn/rpc"
)

// In a package of its own, for both sides to import.
var shout = rpc.Define[string, string]("shout")

// loud stands for a client, which would ask the server.
type loud struct{}

func (loud) CallRPC(_ context.Context, name string, in, out any) error {
	fmt.Println("calling", name)
	*out.(*string) = strings.ToUpper(in.(string)) + "!"
	return nil
}

func ExampleFunc_Call() {
	answer, err := shout.Call(context.Background(), loud{}, "hello")
	fmt.Println(answer, err)
	// Output:
	// calling shout
	// HELLO! <nil>
}

func ExampleDefine() {
	type NewTodo struct{ Title string }
	type Todo struct{ ID int }
	add := rpc.Define[NewTodo, Todo]("todo.add")
	fmt.Println(add.Name())
	// Output:
	// todo.add
}
