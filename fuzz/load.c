/* <p>_load of arbitrary bytes: refused without a trace, or taken over within all limits. */
#include "common.h"

static void P(check_parameters)(const P(t) *net)
{
#define USE(field, count, limit)                                               \
    for (size_t i = 0; i < (count); i++) {                                     \
        PROMISE(net->field[i] >= -(limit) && net->field[i] <= (limit));        \
    }
    PARAMETERS(USE)
#undef USE
    PROMISE(net->RATE <= RATE_LIMIT);
}

static void P(fuzz)(bytes_t bytes)
{
    static P(t) net, before;
    static uint8_t saved[U(BLOB_SIZE)];
    const uint8_t help = take(&bytes);
    /* in memory of exactly this size, so that a read beyond it is seen */
    const size_t size = bytes.size;
    uint8_t *blob = (uint8_t *)malloc(size > 0 ? size : 1);

    P(init)(&net, help);
    fill(&bytes, blob, size);
    if ((help & 1u) && size >= 20) { /* a head that passes */
        P(save)(&net, saved, sizeof saved);
        memcpy(blob, saved, 20);
    }
    if ((help & 2u) && size >= U(BLOB_SIZE)) { /* a checksum that passes */
        put_crc(blob + U(BLOB_SIZE) - 4, crc_of(blob, U(BLOB_SIZE) - 4));
    }
    memset(&before, 0, sizeof before);
    memcpy(&before, &net, sizeof net);

    const int status = P(load)(&net, blob, size);
    PROMISE(status <= 0 && status >= -6);
    if (status != 0) {
        PROMISE(memcmp(&before, &net, sizeof net) == 0);
        if (size >= U(BLOB_SIZE) && (help & 3u) == 3u) {
            PROMISE(status == U(ERR_RANGE));
        }
    } else {
        P(check_parameters)(&net);
        PROMISE(P(save)(&net, saved, sizeof saved) == U(BLOB_SIZE));
        PROMISE(memcmp(saved, blob, U(BLOB_SIZE)) == 0);
        PROMISE(crc_of(blob + 20, U(BLOB_SIZE) - 24 - STATE_BYTES) == P(digest)(&net));
    }
    free(blob);
}
