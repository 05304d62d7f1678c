/* Calls the machine in all the wrong ways; what it prints shows that it comes to no harm. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct block {
    uint32_t magic;
    uint16_t op, version;
    uint32_t status, length;
    uint64_t reply;
    unsigned char payload[65544];
};

static void call(const void *block) {
    __asm__ volatile("outl %%eax, %%dx" : : "a"(0), "d"(0x150), "D"(block) : "memory");
}

static struct block *fresh(uint16_t op, uint32_t length) {
    static struct block block __attribute__((aligned(4096)));
    memset(&block, 0xaa, sizeof block);
    block.magic = 0x314b5243;
    block.version = 1;
    block.op = op;
    block.status = 0;
    block.length = length;
    return &block;
}

static void hello(const char *when) {
    struct block *block = fresh(1, 0);
    call(block);
    printf("%s: status %u, reply %llu\n", when, block->status, (unsigned long long)block->reply);
}

static void refused(const char *what, struct block *block) {
    call(block);
    printf("%s: status %u\n", what, block->status);
}

/* Messages that are none: empty, short, and as long as can be. */
static int garbage(void) {
    call(fresh(2, 0));
    struct block *block = fresh(2, 7);
    memcpy(block->payload, "garbage", 7);
    call(block);
    call(fresh(2, 65536));
    return 0;
}

int main(int count, char **words) {
    (void)words;
    if (count > 1) {
        return garbage();
    }
    struct block *block;
    hello("hello");
    block = fresh(1, 0);
    block->magic++;
    refused("wrong magic", block);
    block = fresh(1, 0);
    block->version = 9;
    refused("wrong version", block);
    refused("unknown operation", fresh(77, 0));
    refused("too long", fresh(2, 65537));
    refused("long name", fresh(3, 65));

    /* Four bytes on, the block's own status is the reply of nobody. */
    block = fresh(1, 0);
    call((char *)block + 4);
    printf("misaligned: status %u\n", block->status);

    call((const void *)0x7000000000);
    printf("not there: goes on\n");
    call((const void *)0xffffffff81000000);
    printf("kernel memory: goes on\n");
    hello("after all");
    return 0;
}
