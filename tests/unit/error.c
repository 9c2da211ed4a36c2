/* The table of errors: every status has its row, and the rows say what the hosting documentation asks of a host. */
#include "vm/error.h"

#include "check.h"
#include "os/os.h"

static bool shortage(DWORD win32) {
    return win32 == ERROR_NOT_ENOUGH_MEMORY || win32 == ERROR_OUTOFMEMORY || win32 == ERROR_NO_SYSTEM_RESOURCES ||
           win32 == ERROR_COMMITMENT_LIMIT || win32 == ERROR_NOT_ENOUGH_QUOTA;
}

int main(void) {
    CHECK_EQ(error_win32(ST_OK), ERROR_SUCCESS);
    CHECK_EQ(error_hresult(ST_OK), S_OK);
    for (int i = ST_OK + 1; i < ST_COUNT; i++) {
        enum status status = (enum status)i;
        DWORD win32 = error_win32(status);
        HRESULT hr = error_hresult(status);
        CHECK(win32 != ERROR_SUCCESS);
        CHECK(FAILED(hr));
        CHECK(hr != E_FAIL);
        CHECK_EQ(hr == E_OUTOFMEMORY, shortage(win32));
        os_last_error_set(12345);
        CHECK(!error_report(status));
        CHECK_EQ(os_last_error(), win32);
    }
    CHECK_EQ(error_hresult(ST_NOT_OURS), HOST_E_INVALIDOPERATION);
    CHECK_EQ(error_win32(ST_NOT_OURS), ERROR_INVALID_ADDRESS);
    CHECK_EQ((uint32_t)error_hresult(ST_BAD_ADDRESS), 0x800701E7u);
    CHECK_EQ((uint32_t)error_hresult(ST_BAD_LENGTH), 0x80070018u);
    os_last_error_set(777);
    CHECK(error_report(ST_OK));
    CHECK_EQ(os_last_error(), 777);
    return check_done();
}
