/* Runs xor_net_selftest on a computer; the exit status is its result. */
#include "xor_net.h"

static xor_net_t net;

int main(void)
{
    return xor_net_selftest(&net);
}
