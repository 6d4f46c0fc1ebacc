/* A driver library for two GPUs, as far as the sampler asks. ISENGARD_TEST_DRIVER says how it behaves: by default it
   answers, "hang" never does, "broken" always fails. No headers, so that a bare compiler is enough. */

typedef struct { unsigned int gpu, memory; } Utilization;
typedef struct { unsigned long long total, free, used; } Memory;

extern char *getenv(const char *name);
extern unsigned int sleep(unsigned int seconds);

static const char *UUIDS[] = {"GPU-aaaa1111-0000", "GPU-bbbb2222-0000"};
static int gpus[] = {0, 1};

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, UNKNOWN = 999 };

static int behaviour(void) {
    const char *asked = getenv("ISENGARD_TEST_DRIVER");
    if (asked && asked[0] == 'h')
        for (;;) sleep(60);
    return asked && asked[0] == 'b' ? UNKNOWN : SUCCESS;
}

static int same(const char *one, const char *other) {
    while (*one && *one == *other) one++, other++;
    return *one == *other;
}

int nvmlInitWithFlags(unsigned int flags) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int result) { return "Unknown Error"; }

int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    if (index > 1) return NOT_FOUND;
    *device = &gpus[index];
    return SUCCESS;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device) {
    if (!same(bus, "00000000:65:00.0")) return NOT_FOUND;
    *device = &gpus[1];
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    for (int index = 0; index < 2; index++)
        if (same(uuid, UUIDS[index])) { *device = &gpus[index]; return SUCCESS; }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(int *device, char *uuid, unsigned int length) {
    const char *from = UUIDS[*device];
    while ((*uuid++ = *from++)) {}
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(int *device, Utilization *rates) {
    rates->gpu = 90 + *device;
    return behaviour();
}

int nvmlDeviceGetMemoryInfo(int *device, Memory *memory) {
    memory->total = 81920ull << 20;
    memory->used = (20000ull + *device) << 20;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(int *device, int sensor, unsigned int *celsius) { *celsius = 60 + *device; return SUCCESS; }
int nvmlDeviceGetPowerUsage(int *device, unsigned int *milliwatts) { *milliwatts = 312345 + *device * 1000; return SUCCESS; }
