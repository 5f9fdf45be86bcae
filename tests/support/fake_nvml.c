/* Stands for NVIDIA's management library in tests: a GPU at bus "0000:01:00.0" whose numbers the test sets by
 * environment variables (FAKE_NVML_ENERGY in mJ, unset: no counter; FAKE_NVML_POWER in mW). */
#include <stdlib.h>
#include <string.h>

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device);
int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules);

static int gpu;

int nvmlInit_v2(void) { return getenv("FAKE_NVML_NO_DRIVER") != NULL ? 9 : 0; }
int nvmlShutdown(void) { return 0; }

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, void **device)
{
    if (strcmp(bus_id, "0000:01:00.0") != 0) return 6; /* not found */
    *device = &gpu;
    return 0;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
    const char *value = getenv("FAKE_NVML_POWER");
    if (device != &gpu || value == NULL) return 3; /* not supported */
    *milliwatts = (unsigned)atoi(value);
    return 0;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules)
{
    const char *value = getenv("FAKE_NVML_ENERGY");
    if (device != &gpu || value == NULL) return 3;
    *millijoules = strtoull(value, NULL, 10);
    return 0;
}
