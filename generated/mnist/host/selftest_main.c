/* Runs mnist_selftest on a computer; the exit status is its result. */
#include "mnist.h"

static mnist_t net;

int main(void)
{
    return mnist_selftest(&net);
}
