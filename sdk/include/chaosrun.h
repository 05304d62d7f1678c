/* What a program under test tells chaosrun, and asks of it, for C and C++.
 *
 * Link with the static library of the crate chaosrun-sdk-c:
 *
 *     cargo build --release -p chaosrun-sdk-c
 *     cc program.c -Isdk/include target/release/libchaosrun_sdk_c.a -lpthread -ldl -lm
 *
 * In a machine of chaosrun this reaches the host. Elsewhere, with the environment variable
 * CHAOSRUN_SDK_LOCAL_OUTPUT, it becomes lines of JSON in the file of that name; without, it does nothing.
 * With CHAOSRUN_DISABLED defined, the macros are empty, and the library is needed only for what is called
 * by name.
 *
 * Texts are UTF-8 and end with a zero. Those called `json` are one JSON value; NULL means null. All
 * functions may be called from any thread.
 */
#ifndef CHAOSRUN_H
#define CHAOSRUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the program runs: 0 nowhere special, 1 with a file for its messages, 2 in a machine. */
int chaosrun_init(void);

/* The program is ready to be tested. */
void chaosrun_setup_complete(const char *json);
/* Something happened that scenarios and reports can refer to. */
void chaosrun_send_event(const char *name, const char *json);

/* Random numbers that chaosrun chooses: any; below `end` (0 if `end` is 0); of a stream of its own. */
uint64_t chaosrun_random_u64(void);
uint64_t chaosrun_random_below(uint64_t end);
uint64_t chaosrun_random_named(const char *stream);
void chaosrun_random_fill(void *buffer, size_t length);

/* Values that the host's checkers follow. */
void chaosrun_publish_int(const char *key, int64_t value);
void chaosrun_publish_uint(const char *key, uint64_t value);
void chaosrun_publish_text(const char *key, const char *value);

/* Histories of operations. `key` may be NULL. */
enum chaosrun_op {
    CHAOSRUN_INVOKE = 0, /* it begins; `json` is its argument */
    CHAOSRUN_OK = 1,     /* it happened; `json` is its result */
    CHAOSRUN_FAIL = 2,   /* it did not happen, and never will */
    CHAOSRUN_INFO = 3    /* nobody knows */
};
void chaosrun_history(const char *history, uint64_t process, enum chaosrun_op op, const char *f,
                      const char *key, const char *json);

/* Below here is what the macros need. */
struct chaosrun_site {
    const char *message;
    const char *file;
    const char *function;
    uint32_t line;
    uint32_t kind;
    uint32_t held;
    uint32_t failures;
};
void chaosrun_register_sites(struct chaosrun_site *const *begin, struct chaosrun_site *const *end);
void chaosrun_assert(struct chaosrun_site *site, bool condition, const char *json);

struct chaosrun_point {
    const char *name;
    uint32_t state;
    uint32_t taken;
};
bool chaosrun_point_taken(struct chaosrun_point *point, uint64_t numerator, uint64_t denominator);

#ifdef __cplusplus
}
#endif

#ifndef CHAOSRUN_DISABLED

/* Each site leaves its address in a section; the linker brackets the section with these two. */
extern struct chaosrun_site *const __start_chaosrun_sites[]
    __attribute__((weak, visibility("hidden")));
extern struct chaosrun_site *const __stop_chaosrun_sites[]
    __attribute__((weak, visibility("hidden")));

__attribute__((constructor)) static void chaosrun_register_all_sites(void) {
    /* Without any site both are null. */
    chaosrun_register_sites(__start_chaosrun_sites, __stop_chaosrun_sites);
}

#define CHAOSRUN_SITE_(number, condition_, message_, json_)                                            \
    do {                                                                                               \
        static struct chaosrun_site chaosrun_site_ = {message_, __FILE__, "", __LINE__, number, 0, 0}; \
        static struct chaosrun_site *const chaosrun_site_address_                                      \
            __attribute__((section("chaosrun_sites"), used)) = &chaosrun_site_;                        \
        (void)chaosrun_site_address_;                                                                  \
        bool chaosrun_holds_ = (condition_);                                                           \
        if (!chaosrun_holds_ || !__atomic_load_n(&chaosrun_site_.held, __ATOMIC_RELAXED)) {            \
            chaosrun_assert(&chaosrun_site_, chaosrun_holds_, json_);                                  \
        }                                                                                              \
    } while (0)

#define CHAOSRUN_BUGGIFY_(name_, numerator_, denominator_)                                             \
    (__extension__({                                                                                   \
        static struct chaosrun_point chaosrun_point_ = {name_, 0, 0};                                  \
        chaosrun_point_taken(&chaosrun_point_, numerator_, denominator_);                              \
    }))

#else

#define CHAOSRUN_SITE_(number, condition_, message_, json_)                                            \
    do {                                                                                               \
        if (0) {                                                                                       \
            (void)(condition_);                                                                        \
            (void)(json_);                                                                             \
        }                                                                                              \
    } while (0)

#define CHAOSRUN_BUGGIFY_(name_, numerator_, denominator_) (false)

#endif

/* Holds each time, and is reached. `message` is a literal and names the property. `json` is evaluated
 * only if it is sent, or the condition does not hold. */
#define CHAOSRUN_ALWAYS(condition, message, json) CHAOSRUN_SITE_(0, condition, message, json)
/* Holds each time, if it is reached at all. */
#define CHAOSRUN_ALWAYS_OR_UNREACHABLE(condition, message, json)                                       \
    CHAOSRUN_SITE_(1, condition, message, json)
/* Holds at least once. */
#define CHAOSRUN_SOMETIMES(condition, message, json) CHAOSRUN_SITE_(2, condition, message, json)
/* Is reached. */
#define CHAOSRUN_REACHABLE(message, json) CHAOSRUN_SITE_(3, true, message, json)
/* Is never reached. */
#define CHAOSRUN_UNREACHABLE(message, json) CHAOSRUN_SITE_(4, false, message, json)
/* Whether to do something that is rare but legal, with this chance where the point is switched on. */
#define CHAOSRUN_BUGGIFY(name, numerator, denominator) CHAOSRUN_BUGGIFY_(name, numerator, denominator)

#endif
