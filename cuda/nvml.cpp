/* The meter of a GPU (see nvml.h). */
#include "nvml.h"

#include <dlfcn.h>
#include <string.h>

static const double SAMPLE_S = 0.1;

/* 0 is NVML_SUCCESS. */
typedef int plain_call(void);
typedef int find_device(const char *bus_id, void **device);
typedef int read_power(void *device, unsigned *milliwatts);
typedef int read_energy(void *device, unsigned long long *millijoules);

template <class Function> static Function *find(const ql_meter *meter, const char *name)
{
    void *address = dlsym(meter->library, name);
    Function *function = nullptr;
    memcpy(&function, &address, sizeof address);
    return function;
}

static double counter_j(const ql_meter *meter)
{
    read_energy *read = find<read_energy>(meter, "nvmlDeviceGetTotalEnergyConsumption");
    unsigned long long millijoules = 0;
    if (read == nullptr || read(meter->device, &millijoules) != 0) return -1;
    return static_cast<double>(millijoules) * 1e-3;
}

static double power_w(const ql_meter *meter)
{
    read_power *read = find<read_power>(meter, "nvmlDeviceGetPowerUsage");
    unsigned milliwatts = 0;
    if (read == nullptr || read(meter->device, &milliwatts) != 0) return -1;
    return static_cast<double>(milliwatts) * 1e-3;
}

static bool find_meter(ql_meter *meter, const char *bus_id)
{
    plain_call *start = find<plain_call>(meter, "nvmlInit_v2");
    find_device *find_it = find<find_device>(meter, "nvmlDeviceGetHandleByPciBusId_v2");
    if (start == nullptr || find_it == nullptr || start() != 0) return false;
    if (find_it(bus_id, &meter->device) != 0) meter->device = nullptr;
    return meter->device != nullptr;
}

void ql_meter_open(ql_meter *meter, const char *library, const char *bus_id, double now_s)
{
    memset(meter, 0, sizeof *meter);
    meter->library = dlopen(library != nullptr ? library : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (meter->library == nullptr) return;
    if (find_meter(meter, bus_id)) {
        meter->begin_j = counter_j(meter);
        meter->counts = meter->begin_j >= 0;
        meter->last_w = power_w(meter);
        meter->last_s = meter->open_s = now_s;
    }
    if (meter->device == nullptr || (!meter->counts && meter->last_w < 0)) ql_meter_close(meter);
}

void ql_meter_sample(ql_meter *meter, double now_s)
{
    if (meter->device == nullptr || meter->counts || now_s - meter->last_s < SAMPLE_S) return;
    const double watts = power_w(meter);
    if (watts < 0) return;
    meter->sum_j += 0.5 * (watts + meter->last_w) * (now_s - meter->last_s);
    meter->last_w = watts;
    meter->last_s = now_s;
}

double ql_meter_joules(ql_meter *meter, double now_s)
{
    if (meter->device == nullptr) return -1;
    if (!meter->counts) {
        ql_meter_sample(meter, now_s);
        return meter->sum_j;
    }
    const double now_j = counter_j(meter);
    return now_j >= meter->begin_j ? now_j - meter->begin_j : -1; /* the driver was loaded again in between */
}

double ql_meter_watts(ql_meter *meter, double now_s)
{
    const double joules = ql_meter_joules(meter, now_s), seconds = now_s - meter->open_s;
    return joules >= 0 && seconds > 0 ? joules / seconds : -1;
}

void ql_meter_close(ql_meter *meter)
{
    if (meter->library != nullptr) {
        plain_call *stop = find<plain_call>(meter, "nvmlShutdown");
        if (stop != nullptr) (void)stop();
        (void)dlclose(meter->library);
    }
    memset(meter, 0, sizeof *meter);
}
