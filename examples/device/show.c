/* Classifies the images of images.h by the network NAME, and says how many of the classes are right. Everything is the
   same on a computer and on a microcontroller; there, the deepest stack is measured too. */
#include "images.h"

#include <stdint.h>
#include <stdio.h>

static const char SHADES[] = " .:-=+*#%@";

static void draw(const uint8_t *pixels)
{
    int row, column;
    for (row = 0; row < HEIGHT; row++) {
        for (column = 0; column < WIDTH; column++) {
            char shade = SHADES[pixels[row * WIDTH + column] * 9 / 255];
            printf("%c%c", shade, shade);
        }
        printf("\n");
    }
}

#ifdef __arm__
/* Bytes of the stack below the caller that were written since they were painted. */
static __attribute__((noinline)) int stack(int paint)
{
    volatile uint8_t *top = (volatile uint8_t *)__builtin_frame_address(0) - 64;
    int i;
    for (i = 0; paint && i < 4096; i++)
        top[-i] = 0xa5;
    for (i = 4095; i >= 0 && top[-i] == 0xa5; i--)
        ;
    return i + 65;
}
#endif

int main(void)
{
    static INPUT image[INPUTS];
    static LOGIT logits[CLASSES];
    uint32_t sum = 2166136261u;
    int n, i, best, right = 0, deepest = 0;
    for (n = 0; n < IMAGES; n++) {
        for (i = 0; i < INPUTS; i++)
            image[i] = ENTER(i / (HEIGHT * WIDTH), pixels[n][i]);
#ifdef __arm__
        stack(1);
#endif
        PREDICT(image, logits);
#ifdef __arm__
        i = stack(0);
        deepest = i > deepest ? i : deepest;
#endif
        for (best = 0, i = 1; i < CLASSES; i++)
            if (logits[i] > logits[best])
                best = i;
        for (i = 0; i < (int)sizeof logits; i++)
            sum = (sum ^ ((const uint8_t *)logits)[i]) * 16777619u;
        if (n < SHOWN) {
            draw(pixels[n]);
            printf("is a %s\n", LABELS[best]);
        }
        right += best == labels[n];
    }
    printf("right %d of %d, logits %08lx, stack %d\n", right, IMAGES, (unsigned long)sum, deepest);
    return 0;
}
