/* Runs digits_selftest on a computer; the exit status is its result. */
#include "digits.h"

static digits_t net;

int main(void)
{
    return digits_selftest(&net);
}
