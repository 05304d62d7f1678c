// Goroutines, channels, maps, garbage collection, timers and big numbers of Go's runtime and
// libraries. What it prints does not depend on how the goroutines are interleaved.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"os/signal"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	sieve()
	workers()
	maps()
	garbage()
	timers()
	preemption()
	panics()
	signals()
	numbers()
}

// sieve is a chain of goroutines, each of which filters the multiples of one prime.
func sieve() {
	numbers := make(chan int)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func(out chan<- int) {
		for n := 2; ; n++ {
			select {
			case out <- n:
			case <-ctx.Done():
				return
			}
		}
	}(numbers)
	sum := 0
	for i := 0; i < 60; i++ {
		prime := <-numbers
		sum += prime
		next := make(chan int)
		go func(in <-chan int, out chan<- int) {
			for {
				select {
				case n := <-in:
					if n%prime == 0 {
						continue
					}
					select {
					case out <- n:
					case <-ctx.Done():
						return
					}
				case <-ctx.Done():
					return
				}
			}
		}(numbers, next)
		numbers = next
	}
	fmt.Println("sum of 60 primes", sum)
}

func workers() {
	var group sync.WaitGroup
	var mutex sync.Mutex
	var total int64
	sums := map[string]int{}
	work := make(chan string, 3)
	for i := 0; i < 8; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for text := range work {
				digest := sha256.Sum256([]byte(text))
				mutex.Lock()
				sums[text] += int(digest[0])
				mutex.Unlock()
				atomic.AddInt64(&total, int64(digest[1]))
			}
		}()
	}
	for i := 0; i < 2000; i++ {
		work <- fmt.Sprintf("item %d", i%50)
	}
	close(work)
	group.Wait()
	text, err := json.Marshal(sums)
	fmt.Println(string(text), err, total)
}

// maps have an iteration order that Go makes random; sorting takes it away.
func maps() {
	table := map[string][]int{}
	for i := 0; i < 20000; i++ {
		key := strings.Repeat("k", i%13) + fmt.Sprint(i%101)
		table[key] = append(table[key], i)
		if i%7 == 0 {
			delete(table, fmt.Sprint(i%101))
		}
	}
	keys := make([]string, 0, len(table))
	for key := range table {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	sum := 0
	for i, key := range keys {
		for _, n := range table[key] {
			sum = (sum*31 + n*(i+1)) % 1000003
		}
	}
	fmt.Println("maps", len(keys), sum)
}

type node struct {
	left, right *node
	payload     [40]byte
}

func grow(depth int) *node {
	if depth == 0 {
		return &node{}
	}
	return &node{left: grow(depth - 1), right: grow(depth - 1)}
}

func (n *node) count() int {
	if n == nil {
		return 0
	}
	return 1 + n.left.count() + n.right.count()
}

// garbage makes enough of it, from several goroutines, for the collector to run many times.
func garbage() {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	kept := grow(10)
	var group sync.WaitGroup
	var total int64
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for round := 0; round < 20; round++ {
				atomic.AddInt64(&total, int64(grow(9).count()))
			}
		}()
	}
	group.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	fmt.Println("garbage", total, kept.count(), after.NumGC > before.NumGC)
}

func timers() {
	start := time.Now()
	time.Sleep(150 * time.Millisecond)
	ticker := time.NewTicker(20 * time.Millisecond)
	ticks := 0
	timeout := time.After(2 * time.Second)
	for ticks < 5 {
		select {
		case <-ticker.C:
			ticks++
		case <-timeout:
			fmt.Println("the ticker is late")
			return
		}
	}
	ticker.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	fmt.Println("timers", ticks, time.Since(start) >= 300*time.Millisecond, ctx.Err())
}

// preemption needs the runtime's signal to interrupt a loop that never calls anything.
func preemption() {
	var stop uint32
	var group sync.WaitGroup
	spinners := runtime.GOMAXPROCS(0) + 1
	for i := 0; i < spinners; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := 0; atomic.LoadUint32(&stop) == 0; n++ {
			}
		}()
	}
	time.Sleep(30 * time.Millisecond)
	atomic.StoreUint32(&stop, 1)
	group.Wait()
	fmt.Println("all spinners stopped")
}

// panics are caught, among them one that starts as a processor's exception.
func panics() {
	attempt := func(name string, action func()) {
		defer func() {
			fmt.Println(name, "->", recover())
		}()
		action()
	}
	var missing *node
	var zero int
	attempt("nil", func() { fmt.Println(missing.payload[3]) })
	attempt("division", func() { fmt.Println(1 / zero) })
	attempt("index", func() { fmt.Println([]int{1, 2}[zero+2]) })
	attempt("error", func() { panic(errors.New("mine")) })
}

func signals() {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGUSR1)
	_ = syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("signal", <-arrived)
}

func numbers() {
	factorial := new(big.Int).MulRange(1, 300)
	power := new(big.Int).Exp(big.NewInt(3), factorial, new(big.Int).SetBit(new(big.Int), 521, 1))
	fmt.Println("300!", factorial.BitLen(), factorial.String()[:40])
	fmt.Println("3^300! mod 2^521", power)
	fmt.Println(new(big.Int).Sqrt(factorial).Text(36))
	fmt.Println("prime", new(big.Int).SetUint64(18446744073709551557).ProbablyPrime(20))
	half := new(big.Float).SetPrec(300).SetInt64(2)
	fmt.Println(half.Sqrt(half).Text('g', 80))
	for _, x := range []float64{-3.75, 0.1, 1, 2.5, 700} {
		fmt.Printf("%v: %x %x %x %x %x %x\n", x, math.Sin(x), math.Exp(x), math.Pow(math.Abs(x), 0.7),
			math.Log1p(math.Abs(x)), math.FMA(x, 3, 0.1), math.Floor(x))
	}
}
