//! A bank moves money at random. Shows assertions with details, random numbers, events, published
//! values, histories and fault points.

use chaosrun_sdk::random::{self, ChaosRng};
use chaosrun_sdk::{
    assert_always, assert_always_greater_than, assert_always_greater_than_or_equal_to,
    assert_always_less_than, assert_always_less_than_or_equal_to, assert_always_or_unreachable,
    assert_always_some, assert_sometimes, assert_sometimes_all, assert_sometimes_greater_than,
    assert_sometimes_greater_than_or_equal_to, assert_sometimes_less_than,
    assert_sometimes_less_than_or_equal_to, buggify, history, lifecycle, publish,
};
use rand_core::Rng;
use serde_json::json;

const ACCOUNTS: usize = 4;
const START: i64 = 100;
const TOTAL: i64 = ACCOUNTS as i64 * START;

/// Accounts, and how much is on each.
struct Bank {
    accounts: [i64; ACCOUNTS],
    transfers: u64,
}

/// Moves money this often.
pub fn run(iterations: u64) {
    let mut bank = Bank {
        accounts: [START; ACCOUNTS],
        transfers: 0,
    };
    // A stream of random numbers of its own: what other parts of the program draw does not change
    // what this part gets, in this run or in a replay.
    let mut amounts = ChaosRng::named("amounts");
    for number in 0..iterations {
        // `choice` and its relatives are decisions that chaosrun makes, and may make otherwise.
        let accounts = [0, 1, 2, 3];
        let from = random::choice(&accounts).copied().unwrap_or_default();
        let to = random::choice_from(
            accounts
                .into_iter()
                .filter(|a| *a != from)
                .collect::<Vec<_>>(),
        );
        // ChaosRng is a generator for whatever takes one of the rand family.
        let amount = (amounts.next_u32() % 60) as i64;
        bank.transfer(from, to.unwrap_or_default(), amount);
        bank.check();
        if number % 10 == 0 {
            bank.balance_sheet(number);
        }
    }
    bank.extremes();
}

impl Bank {
    /// Moves an amount, or refuses.
    fn transfer(&mut self, from: usize, to: usize, amount: i64) {
        // A history is what a client asked and was told. A scenario can have it checked:
        // `linearizable "bank"`. Here, each transfer writes the number of transfers to a register.
        history::invoke("bank", 0, "write", None, &(self.transfers + 1));
        if self.accounts[from] < amount {
            history::fail("bank", 0, "write", None, &"not enough money");
            return;
        }
        self.accounts[from] -= amount;
        // A fault point: legal, but rare. Under chaosrun it happens often enough to be tested. Only a
        // machine of chaosrun ever takes it.
        if buggify!("the teller drops a coin and picks it up", 1, 10) {
            std::thread::yield_now();
        }
        self.accounts[to] += amount;
        self.transfers += 1;
        history::ok("bank", 0, "write", None, &self.transfers);
        // A value with a name. Checkers follow it: `monotonic "transfers"`, `progress "transfers"`.
        publish("transfers", self.transfers);
    }

    /// What must hold between two transfers.
    fn check(&self) {
        let total: i64 = self.accounts.iter().sum();
        // Must hold each time, and must be reached. The details are shown if it fails, and are
        // evaluated only then and the first time.
        assert_always!(
            total == TOTAL,
            "the bank neither makes nor loses money",
            &json!({ "accounts": self.accounts })
        );
        for balance in self.accounts {
            // Comparisons show both sides; exploration can steer by how near they are.
            assert_always_greater_than_or_equal_to!(balance, 0, "no account is overdrawn");
            assert_always_less_than_or_equal_to!(
                balance,
                TOTAL,
                "no account has more than there is"
            );
            assert_always_greater_than!(balance, -1, "a balance is not negative");
            assert_always_less_than!(
                balance,
                TOTAL + 1,
                "a balance is below what there cannot be"
            );
        }
        // Must hold at least once: it shows that the test comes to interesting states.
        assert_sometimes!(
            self.accounts[0] != START,
            "the first account changes",
            &json!({ "balance": self.accounts[0] })
        );
        // One of several conditions, each time; and all of several, at once, at least one time.
        assert_always_some!(
            { first: self.accounts[0] >= START, others: self.accounts[0] < START },
            "the first account has at least its start or less"
        );
        assert_sometimes_all!(
            { moved: self.transfers > 0, whole: total == TOTAL },
            "money moves and is still all there"
        );
    }

    /// An audit: a read of the register, which the history shows as well.
    fn balance_sheet(&self, number: u64) {
        // The guard ends the operation as "unknown" if the function leaves early.
        let read = history::begin("bank", 0, "read", None, &());
        read.ok(&self.transfers);
        // An event: a scenario's faults can wait for it, `after "audit" { ... }`.
        lifecycle::send_event(
            "audit",
            &json!({ "number": number, "accounts": self.accounts }),
        );
        if self.accounts.contains(&TOTAL) {
            // Must hold if it is reached, which it need not be.
            assert_always_or_unreachable!(
                self.accounts.iter().filter(|a| **a == 0).count() == ACCOUNTS - 1,
                "who has everything leaves nothing to the others"
            );
        }
    }

    /// What the run has shown as a whole.
    fn extremes(&self) {
        let highest = self.accounts.iter().max().copied().unwrap_or_default();
        let lowest = self.accounts.iter().min().copied().unwrap_or_default();
        assert_sometimes_greater_than_or_equal_to!(
            highest,
            START,
            "an account gains, or none does"
        );
        assert_sometimes_less_than_or_equal_to!(lowest, START, "an account loses, or none does");
        // Sixteen random bytes: `fill` takes a number for each eight of them.
        let mut bytes = [0; 16];
        random::fill(&mut bytes);
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        assert_sometimes_greater_than!(ones, 0, "of many random bits one is set");
        assert_sometimes_less_than!(ones, 128, "of many random bits one is clear");
    }
}
