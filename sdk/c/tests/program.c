/* The program under test of c_programs.rs: uses every part of the header once. */
#include <chaosrun.h>
#include <pthread.h>
#include <stdio.h>

static void *crowd(void *unused) {
    (void)unused;
    for (int n = 0; n < 1000; n++) {
        CHAOSRUN_ALWAYS(true, "c: in a crowd", NULL);
    }
    return NULL;
}

int other_file(void);

int main(void) {
    printf("%d\n", chaosrun_init());
    chaosrun_setup_complete("{\"role\":\"c\"}");
    for (int n = 0; n < 20; n++) {
        char details[32];
        snprintf(details, sizeof details, "{\"n\":%d}", n);
        CHAOSRUN_ALWAYS(n < 10, "c: holds ten times", details);
        CHAOSRUN_SOMETIMES(n == 5, "c: sometimes five", details);
    }
    if (other_file() != 7) {
        CHAOSRUN_UNREACHABLE("c: unreachable", "\"never\"");
    }
    pthread_t threads[4];
    for (int n = 0; n < 4; n++) {
        pthread_create(&threads[n], NULL, crowd, NULL);
    }
    for (int n = 0; n < 4; n++) {
        pthread_join(threads[n], NULL);
    }
    chaosrun_send_event("c-event", "not json");
    chaosrun_publish_int("c-int", -3);
    chaosrun_publish_uint("c-uint", UINT64_MAX);
    chaosrun_publish_text("c-text", "x\xff");
    chaosrun_history("kv", 1, CHAOSRUN_INVOKE, "write", "x", "3");
    chaosrun_history("kv", 1, CHAOSRUN_OK, "write", NULL, NULL);
    unsigned char bytes[9] = {0};
    chaosrun_random_fill(bytes, sizeof bytes);
    bool ordinary = chaosrun_random_below(3) < 3 && chaosrun_random_below(0) == 0 &&
                    chaosrun_random_u64() != chaosrun_random_named("c");
    CHAOSRUN_ALWAYS_OR_UNREACHABLE(ordinary, "c: random numbers are ordinary", NULL);
    return CHAOSRUN_BUGGIFY("c: outside chaosrun nothing is buggy", 1, 1) ? 1 : 0;
}
