/* A second source file, whose sites join those of the first; valid as C++ too. */
#include <chaosrun.h>

#ifdef __cplusplus
extern "C"
#endif
int other_file(void);

int other_file(void) {
    CHAOSRUN_REACHABLE("c: the other file is reached", NULL);
    return 7;
}
