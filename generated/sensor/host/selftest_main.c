/* Runs sensor_selftest on a computer; the exit status is its result. */
#include "sensor.h"

static sensor_t net;

int main(void)
{
    return sensor_selftest(&net);
}
