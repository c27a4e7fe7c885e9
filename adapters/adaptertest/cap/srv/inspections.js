'use strict';
const cds = require('@sap/cds');

// Each new order has two inspection lots: one in process with a characteristic in operation 0010, one for the goods receipt with another.
// Single results are numbered within their characteristic.
module.exports = cds.service.impl(async function () {
  const { A_InspectionLot: Lot, A_InspectionOperation: Operation, A_InspectionCharacteristic: Characteristic, A_InspectionResultValue: Value } = this.entities;
  let lots = 0;
  let values = 0;
  const orders = await cds.connect.to('ProductionOrders');
  orders.after('CREATE', 'A_ProductionOrder_2', async (order) => {
    for (const [origin, spec, name] of [['03', 'DIAMETER', 'Outer diameter'], ['04', 'SURFACE', 'Surface of the part']]) {
      lots += 1;
      const InspectionLot = String(10000000 + lots);
      const node = { InspectionLot, InspPlanOperationInternalID: '00000001' };
      await INSERT.into(Lot).entries({
        InspectionLot, Material: order.Material, Plant: order.ProductionPlant, InspectionLotOrigin: origin, ManufacturingOrder: order.ManufacturingOrder,
        InspectionLotHasUsageDecision: false,
      });
      await INSERT.into(Operation).entries({ ...node, InspectionOperation: '0010' });
      await INSERT.into(Characteristic).entries({
        ...node, InspectionCharacteristic: '0010', InspectionSpecification: spec, InspectionSpecificationText: name,
      });
    }
  });
  this.before('CREATE', Value, async (req) => {
    const { InspectionLot, InspPlanOperationInternalID, InspectionCharacteristic } = req.data;
    const key = { InspectionLot, InspPlanOperationInternalID, InspectionCharacteristic };
    if (!await SELECT.one.from(Characteristic).where(key)) {
      return req.reject({ code: 'QEE/014', status: 400, message: 'Inspection characteristic does not exist', target: 'InspectionCharacteristic' });
    }
    values += 1;
    req.data.InspResultValueInternalID = String(values).padStart(8, '0');
    return undefined;
  });
});
