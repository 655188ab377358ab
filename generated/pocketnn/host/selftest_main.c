/* Runs pocketnn_selftest on a computer; the exit status is its result. */
#include "pocketnn.h"

static pocketnn_t net;

int main(void)
{
    return pocketnn_selftest(&net);
}
