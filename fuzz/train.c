/* <p>_train_step and <p>_train_batch of arbitrary samples, labels or targets, learning rates and
   weights: no undefined behaviour, all limits hold afterwards, and a refusal leaves no trace. */
#include "common.h"

static void P(check_parameters)(const P(t) *net)
{
#define USE(field, count, limit)                                               \
    for (size_t i = 0; i < (count); i++) {                                     \
        PROMISE(net->field[i] >= -(limit) && net->field[i] <= (limit));        \
    }
    PARAMETERS(USE)
#undef USE
}

static void P(fuzz)(bytes_t bytes)
{
    static P(t) net, before;
    static P(output_t) y[U(OUTPUT_SIZE)];
    const uint8_t start = take(&bytes);

    fill(&bytes, &net, start & 4u ? sizeof net : 0); /* what was in memory must not matter */
    P(init)(&net, take(&bytes));
    if (start & 1u) { /* any weights within their limits: many at an end */
#define USE(field, count, limit)                                               \
    for (size_t i = 0; i < (count); i++) {                                     \
        const uint8_t high = take(&bytes), low = start & 2u ? high : take(&bytes); \
        net.field[i] = within((int16_t)(high * 256 + low - 32768), limit);     \
    }
        PARAMETERS(USE)
#undef USE
    }
    for (int step = 0; step < 8 && bytes.size > 0; step++) {
        const uint8_t shape = take(&bytes);
        const uint16_t n = (uint16_t)(shape & 128u ? shape % (U(BATCH) + 2u) : 1 + shape % U(BATCH));
        const size_t rows = n > U(BATCH) ? U(BATCH) + 1u : n;
        /* in memory of exactly this size, so that a read beyond it is seen */
        P(input_t) *x = (P(input_t) *)malloc((rows > 0 ? rows : 1) * U(INPUT_SIZE) * sizeof *x);
#if LABELLED
        const size_t values = rows;
        uint16_t *wanted;
#else
        const size_t values = rows * U(OUTPUT_SIZE);
        P(target_t) *wanted;
#endif

        wanted = malloc((values > 0 ? values : 1) * sizeof *wanted);
        net.RATE = (uint8_t)(take(&bytes) % (RATE_LIMIT + 1u));
        fill(&bytes, x, rows * U(INPUT_SIZE) * sizeof *x);
        fill(&bytes, wanted, values * sizeof *wanted);
#if LABELLED
        if (shape & 64u) { /* classes that there are, so that it learns */
            for (size_t i = 0; i < values; i++) {
                wanted[i] = (uint16_t)(wanted[i] % U(OUTPUT_SIZE));
            }
        }
#endif
        memcpy(&before, &net, sizeof net);
        const int status = n == 1 && (shape & 32u)
#if LABELLED
            ? P(train_step)(&net, x, wanted[0])
#else
            ? P(train_step)(&net, x, wanted)
#endif
            : P(train_batch)(&net, x, wanted, n);
        PROMISE(status == 0 || status == U(ERR_COUNT) || status == WANTED_ERROR);
        PROMISE((status == U(ERR_COUNT)) == (n == 0 || n > U(BATCH)));
        if (status != 0) {
            PROMISE(memcmp(&before, &net, sizeof net) == 0);
        }
#if LABELLED
        for (size_t i = 0; status == 0 && i < values; i++) {
            PROMISE(wanted[i] < U(OUTPUT_SIZE));
        }
#endif
        P(check_parameters)(&net);
        if (rows > 0) {
            P(forward)(&net, x, y);
            PROMISE(P(predict)(&net, x) < U(OUTPUT_SIZE));
        }
        free(x);
        free(wanted);
    }
}
