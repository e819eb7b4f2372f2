package client

import (
	"errors"
	"syscall/js"

	"github.com/sojourn-go/sojourn/client/internal/codec"
	"github.com/sojourn-go/sojourn/protocol"
)

// The JSON of a few kinds of values, by the browser's own. Import
// client/clientjson for all others.

var (
	errType   = errors.New("a type that package client does not know by itself: import github.com/sojourn-go/sojourn/client/clientjson")
	errNumber = errors.New("a number that would lose digits")
	errValue  = errors.New("not the JSON that was expected")
)

// marshal is v as JSON.
func marshal(v any) (data []byte, err error) {
	if codec.Marshal != nil {
		return codec.Marshal(v)
	}
	v, err = toJS(v)
	if err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil { // js.ValueOf does not know it
			err = errType
		}
	}()
	return []byte(global.Get("JSON").Call("stringify", v).String()), nil
}

// toJS is v as js.ValueOf takes it, if it is known.
func toJS(v any) (any, error) {
	ok := true
	switch v := v.(type) {
	case int:
		ok = isExact(float64(v))
	case int64:
		ok = isExact(float64(v))
	case uint:
		ok = isExact(float64(v))
	case uint64:
		ok = isExact(float64(v))
	case float64:
		ok = v-v == 0
	case float32:
		ok = v-v == 0
	case protocol.UserID:
		return string(v), nil
	case []byte:
		binary := make([]rune, len(v))
		for i, b := range v {
			binary[i] = rune(b)
		}
		return global.Call("btoa", string(binary)), nil
	case struct{}:
		return map[string]any{}, nil
	case []int:
		return list(len(v), func(i int) any { return v[i] })
	case []float64:
		return list(len(v), func(i int) any { return v[i] })
	case []string:
		return list(len(v), func(i int) any { return v[i] })
	case []any:
		return list(len(v), func(i int) any { return v[i] })
	case map[string]string:
		return dict(v)
	case map[string]any:
		return dict(v)
	}
	if !ok {
		return nil, errNumber
	}
	return v, nil
}

// isExact reports whether a whole number is one that JavaScript keeps.
func isExact(f float64) bool { return f > -1<<53 && f < 1<<53 }

func list(n int, at func(i int) any) (any, error) {
	to := make([]any, n)
	for i := range to {
		var err error
		if to[i], err = toJS(at(i)); err != nil {
			return nil, err
		}
	}
	return to, nil
}

func dict[T any](from map[string]T) (any, error) {
	to := make(map[string]any, len(from))
	for name, v := range from {
		var err error
		if to[name], err = toJS(v); err != nil {
			return nil, err
		}
	}
	return to, nil
}

// unmarshal decodes data into out, a pointer.
func unmarshal(data []byte, out any) (err error) {
	if codec.Unmarshal != nil {
		return codec.Unmarshal(data, out)
	}
	defer func() {
		if recover() != nil { // JSON.parse threw, or it is a value of another kind
			err = errValue
		}
	}()
	return fromJS(out, global.Get("JSON").Call("parse", string(data)))
}

// fromJS makes v what out points to. It panics if v is of another kind.
func fromJS(out any, v js.Value) (err error) {
	switch out := out.(type) {
	case *bool:
		*out = v.Bool()
	case *int:
		*out = int(whole(v, 1<<53))
	case *int32:
		*out = int32(whole(v, 1<<31))
	case *int64:
		*out = int64(whole(v, 1<<53))
	case *float64:
		*out = v.Float()
	case *string:
		*out = text(v)
	case *protocol.UserID:
		*out = protocol.UserID(text(v))
	case *[]byte:
		*out = nil // which is null
		if v.IsNull() {
			return nil
		}
		*out = []byte{}
		for _, r := range global.Call("atob", text(v)).String() {
			*out = append(*out, byte(r))
		}
	case *struct{}:
	case *any:
		return anything(out, v)
	case *[]int:
		return toList(out, v)
	case *[]float64:
		return toList(out, v)
	case *[]string:
		return toList(out, v)
	case *[]any:
		return toList(out, v)
	case *map[string]string:
		return toDict(out, v)
	case *map[string]any:
		return toDict(out, v)
	default:
		err = errType
	}
	return err
}

func text(v js.Value) string {
	if v.Type() != js.TypeString {
		panic(errValue)
	}
	return v.String()
}

func whole(v js.Value, limit float64) float64 {
	f := v.Float()
	if f != float64(int64(f)) || f >= limit || f < -limit {
		panic(errValue)
	}
	return f
}

func anything(out *any, v js.Value) error {
	switch v.Type() {
	case js.TypeBoolean:
		*out = v.Bool()
	case js.TypeNumber:
		*out = v.Float()
	case js.TypeString:
		*out = v.String()
	case js.TypeObject:
		if global.Get("Array").Call("isArray", v).Bool() {
			var list []any
			err := toList(&list, v)
			*out = list
			return err
		}
		var dict map[string]any
		err := toDict(&dict, v)
		*out = dict
		return err
	}
	return nil
}

func toList[T any](out *[]T, v js.Value) error {
	if v.IsNull() {
		return nil
	}
	list := make([]T, v.Length())
	*out = list
	for i := range list {
		if err := fromJS(&list[i], v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func toDict[T any](out *map[string]T, v js.Value) error {
	if v.IsNull() {
		return nil
	}
	names := global.Get("Object").Call("keys", v)
	dict := make(map[string]T, names.Length())
	*out = dict
	for i := range names.Length() {
		name := names.Index(i).String()
		var e T
		if err := fromJS(&e, v.Get(name)); err != nil {
			return err
		}
		dict[name] = e
	}
	return nil
}
