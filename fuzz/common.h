/* What both fuzz targets share. tests/test_fuzz.py includes a target once for each model, with
   P(name), U(name): names with the model's prefix, as <p>_name and <P>_NAME
   PARAMETERS(use): use(field, count, limit) for each array of weights, in the order of the blob
   RATE, RATE_LIMIT: the field that sets the learning rate, and its greatest value
   STATE_BYTES: how many bytes of the blob stand between the weights and the checksum
   LABELLED: 1 where samples come with a class, 0 where with target values
   WANTED_ERROR: the error code for a class or a target value that there is not */
#ifndef FUZZ_COMMON_H
#define FUZZ_COMMON_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A broken promise ends the run as a crash does, so that libFuzzer keeps the input. */
#define PROMISE(condition)                                                  \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                        \
        }                                                                   \
    } while (0)

/* The fuzzer's bytes, and zeros when they are used up. */
typedef struct {
    const uint8_t *data;
    size_t size;
} bytes_t;

static uint8_t take(bytes_t *bytes)
{
    if (bytes->size == 0) {
        return 0;
    }
    bytes->size--;
    return *bytes->data++;
}

static void fill(bytes_t *bytes, void *memory, size_t size)
{
    uint8_t *out = (uint8_t *)memory;

    while (size-- > 0) {
        *out++ = take(bytes);
    }
}

static uint32_t crc_of(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffffu;

    while (size-- > 0) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static void put_crc(uint8_t *at, uint32_t crc)
{
    for (int k = 0; k < 4; k++) {
        at[k] = (uint8_t)(crc >> (8 * k));
    }
}

/* A number within -limit..limit that is often at an end. */
static int16_t within(int16_t value, int32_t limit)
{
    return (int16_t)(value > limit ? limit : (value < -limit ? -limit : value));
}

#endif
