/* Runs sine_selftest on a computer; the exit status is its result. */
#include "sine.h"

static sine_t net;

int main(void)
{
    return sine_selftest(&net);
}
