/* The beginning of a program for Cortex-M under QEMU, with input and output by semihosting. */
#include <stdint.h>
#include <stdlib.h>

extern uint32_t stack_top;
int main(void);
void initialise_monitor_handles(void);
void _init(void);
void _fini(void);
void start(void);

void _init(void) {}
void _fini(void) {}

void start(void)
{
    initialise_monitor_handles();
    exit(main());
}

typedef void (*entry_t)(void);
__attribute__((section(".vectors"), used)) const entry_t vectors[2] = {(entry_t)(uintptr_t)&stack_top, start};
